"""Arrays of pixels: scale, rounding, resizing, blending, colour spaces."""
