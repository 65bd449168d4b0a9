"""What the edge of a paste tells: where it lies, and how far the colours inside still are from those outside."""
