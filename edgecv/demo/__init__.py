"""The camera demo: a model at work on what a camera sees, shown in a page, a window or as JSON.

The demo runs where the camera is. Everything but `bundle`, `remote` and `service` is also copied to
boards, where there is numpy, OpenCV, tornado, a TFLite runtime and nothing else.
"""
