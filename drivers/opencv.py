"""OpenCV, set up before it is loaded: everything on this floor takes ``cv2`` from here."""

from __future__ import annotations

import os

# A camera that hangs must be noticed well within the ten seconds of its recovery. OpenCV's own limit is 10 s; this
# one, in seconds, is read once when the library is loaded.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2")

import cv2

# One thread an operation: frames are small, and a pool of spinning threads would take the cores from the gate.
cv2.setNumThreads(1)

__all__ = ["cv2"]
