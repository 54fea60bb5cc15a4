"""Networks, pooling, pseudo labels and losses, on tensors."""
