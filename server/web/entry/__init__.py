"""Access: credentials, roles, hosts and origins, addresses behind proxies."""
