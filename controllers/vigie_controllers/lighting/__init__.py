"""Street lighting: words, the sun, the floor guard, dimming programs."""
