"""The job behind `hdnet-synthesize`: photos with foreground masks in, training pairs in the iHarmony4 layout out."""
