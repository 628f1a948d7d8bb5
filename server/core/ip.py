"""IP addresses as they stand in settings, headers and sockets."""

import ipaddress


def parse_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address, without its zone and an IPv4 one mapped into IPv6 as such.

    None for a text that is no address, such as a name.
    """
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if parsed.version == 6 else parsed
