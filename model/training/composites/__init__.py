"""Composites made while training: photos with masks, recoloured and pasted anew at every visit."""
