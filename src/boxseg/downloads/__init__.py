"""Files from the network: what there is, fetched, checked, unpacked."""
