"""How many files and sockets this process may have open at once."""

try:
    import resource
except ModuleNotFoundError:  # Windows, which has no such limit
    resource = None  # type: ignore[assignment]

MAX_DESCRIPTORS = 16_384  # open at once: connections, and files that await one flush together


def raise_limit() -> None:
    """Raise the soft limit of open descriptors to MAX_DESCRIPTORS, or as far as is granted."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(MAX_DESCRIPTORS, hard)
    while soft != resource.RLIM_INFINITY and soft < enough:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
            return
        except (OSError, ValueError):  # macOS says there is no limit, and has one
            enough //= 2


def limit() -> int:
    """Return how many descriptors this process may have open, MAX_DESCRIPTORS at most."""
    if resource is None:
        return MAX_DESCRIPTORS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, MAX_DESCRIPTORS)
