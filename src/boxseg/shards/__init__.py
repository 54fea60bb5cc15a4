"""Where the results of photos lie: in files of their own, or many together in shards."""
