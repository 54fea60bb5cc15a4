"""Photos and boxes on their way to a network: geometry, transforms, loading, the demo set."""
