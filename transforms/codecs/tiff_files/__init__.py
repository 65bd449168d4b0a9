"""What TIFF files are made of: directories, the layouts that are read, and the library that reads their pixels."""
