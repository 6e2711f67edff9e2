"""Which IP addresses are the public Internet. What a name leads to is judged here, and nothing else is dialled."""

from ipaddress import IPv4Address, IPv6Address, ip_network

__all__ = ["IPAddress", "is_public"]

IPAddress = IPv4Address | IPv6Address

# IANA's special-purpose registries, of which Python's `is_global` knows more or less by its version.
_NOT_PUBLIC_4 = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "224.0.0.0/3",
            "168.63.129.16/32",  # Azure's host, as its guests see it
        ),
    )
)  # fmt: skip
# All that is assigned for use across the Internet. Loopback, link-local, unique local, multicast and every form that
# carries an IPv4 address (mapped, compatible, translated, NAT64) lie outside.
_GLOBAL_6 = ip_network("2000::/3")
# Teredo and other protocols, documentation, 6to4.
_NOT_PUBLIC_6 = tuple(map(ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


def is_public(address: IPAddress) -> bool:
    """Whether a stranger's page may live there."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)
