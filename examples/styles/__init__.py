"""The pictures that examples/draw_styles.py draws, one a file, and the brush they share."""
