"""Bijections of images (height, width, channels): resolutions, convolutional networks, levels."""
