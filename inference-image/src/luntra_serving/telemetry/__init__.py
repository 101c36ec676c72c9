"""What the server tells about itself: metrics, logs and traces."""
