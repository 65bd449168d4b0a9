"""HDNet (Chen et al., ACM MM 2023), and how it runs on images of any size."""
