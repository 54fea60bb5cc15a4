"""Where chunks of photos are worked on: in this process, in one for each device, or on a cluster."""
