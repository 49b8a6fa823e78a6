"""Through which HTTP proxy a host is to be reached: HTTPS_PROXY and NO_PROXY, as other programs understand them."""

from __future__ import annotations

import urllib.request

from websockets.exceptions import InvalidProxy
from websockets.proxy import Proxy, parse_proxy


class ProxyProblem(ValueError):
    """A proxy is set that means nothing or is of a kind we cannot use."""


def proxy_for(host: str, port: int) -> Proxy | None:
    """The proxy that the environment (on some systems the settings) names for this host. Raises ProxyProblem.

    Only http:// proxies: they see CONNECT and then nothing but TLS.
    """
    if urllib.request.proxy_bypass(f"{host}:{port}"):
        return None
    named = urllib.request.getproxies().get("https")
    if not named:
        return None
    try:
        proxy = parse_proxy(named if "://" in named else f"http://{named}")
    except (InvalidProxy, ValueError) as problem:
        # The text would name a password.
        raise ProxyProblem("the proxy that is set cannot be understood") from problem
    if proxy.scheme != "http":
        raise ProxyProblem(f"a proxy of the kind {proxy.scheme} is set; only http is understood")
    return proxy
