"""HTTP towards model servers: connections, requests and answers as they come."""
