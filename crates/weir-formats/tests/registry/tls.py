"""A schema registry with one schema behind TLS that asks for a client certificate, for the tests in main.rs.

The only argument is a folder with ca.pem, server.pem and server.key. Prints its port, then serves until it is killed.
"""

import http.server
import json
import ssl
import sys

folder = sys.argv[1]
SCHEMA = '{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}'


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.path == "/schemas/ids/1"
        body = {"schema": SCHEMA} if found else {"error_code": 40403, "message": "Schema not found"}
        answer = json.dumps(body).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
context.load_verify_locations(f"{folder}/ca.pem")
context.verify_mode = ssl.CERT_REQUIRED
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
