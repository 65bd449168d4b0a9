"""HTML pages for people: one frame with one style and one script, and the pictures and plots that are put into it."""
