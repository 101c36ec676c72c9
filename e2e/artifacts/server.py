"""Serves a folder over HTTPS, for bundles and evaluation sets in a test cluster: standard library only.

    python3 server.py FOLDER CERTIFICATE KEY

A certificate as a Secret mounts it, on port 8443. It does nothing but GET; what is not there is a 404.
"""

import functools
import ssl
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


def main() -> None:
    """Serve until killed."""
    folder, certificate, key = sys.argv[1:]
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    server = ThreadingHTTPServer(("", 8443), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


main()
