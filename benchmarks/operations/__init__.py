"""What each operation costs at 4K beside OpenCV, libvips, OpenImageIO and Pillow: `python -m benchmarks.operations`."""
