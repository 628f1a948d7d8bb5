"""Who may come in: credentials, keys, hosts and origins, addresses behind proxies."""
