"""The file formats, one module each; `hdnet.transforms.codecs.table` lists them."""
