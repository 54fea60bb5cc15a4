"""Data sets from the network: fetch, check and unpack their archives."""
