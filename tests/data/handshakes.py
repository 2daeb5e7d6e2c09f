#!/usr/bin/env python3
"""Makes handshakes.txt again: real TLS handshakes of OpenSSL with itself, in memory, without a network.

Lines: `= name`, then `C` or `S` with the bytes that client or server handed to its transport, in order, in hexadecimal, then
`# field value`: what OpenSSL itself says about the session. Keys, random values and certificates differ from run to run; the
tests rely on nothing but these fields and the names below. Needs python3 and its package cryptography.
"""
import datetime, hashlib, os, ssl, tempfile
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

os.chdir(os.path.dirname(os.path.abspath(__file__)))
out = []
# OpenSSL forgets the sessions of connections that end without a farewell: they stay open to the end.
open_ends = []


def name(*parts):
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])


def certificate(subject, key, issuer, signer, names=(), authority=False):
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(datetime.datetime(2024, 2, 29, 12, 0, 0)).not_valid_after(datetime.datetime(2061, 1, 1))
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
root = name((NameOID.COUNTRY_NAME, "CZ"), (NameOID.ORGANIZATION_NAME, "Home, Sweet Home"), (NameOID.COMMON_NAME, "Root"))
middle = name((NameOID.ORGANIZATION_NAME, "Home, Sweet Home"), (NameOID.COMMON_NAME, "Middle"))
leaf = name((NameOID.ORGANIZATION_NAME, "Kavárna"), (NameOID.COMMON_NAME, "shop.example"))
alternative = [x509.IPAddress(__import__("ipaddress").ip_address("192.0.2.1")), x509.DNSName("www.shop.example"), x509.DNSName("shop.example")]
chain = [
    certificate(leaf, keys[0], middle, keys[1], alternative),
    certificate(middle, keys[1], root, keys[2], authority=True),
    certificate(root, keys[2], root, keys[2], authority=True),
]
work = tempfile.TemporaryDirectory()
pem = serialization.Encoding.PEM
with open(work.name + "/chain.pem", "wb") as f:
    f.write(keys[0].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    for cert in chain:
        f.write(cert.public_bytes(pem))
with open(work.name + "/root.pem", "wb") as f:
    f.write(chain[2].public_bytes(pem))


def contexts(version, trust=True):
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(work.name + "/chain.pem")
    if trust:
        client.load_verify_locations(work.name + "/root.pem")
    for context in (server, client):
        context.minimum_version = context.maximum_version = version
    client.set_alpn_protocols(["h2", "http/1.1"])
    server.set_alpn_protocols(["http/1.1"])
    return server, client


def play(title, server_context, client_context, session=None, name="www.shop.example"):
    """One handshake and one exchange of data. Returns the client's session."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    open_ends.append((server, client))
    out.append("= " + title)

    def turn(side, action, bio):
        # What one end writes goes into the other's memory; a peek at it is what would be on the wire.
        before = bio.pending
        try:
            action()
            done = True
        except ssl.SSLWantReadError:
            done = False
        except ssl.SSLError:
            done = None
        sent = bio.pending - before
        if sent:
            data = bio.read()
            out.append(side + " " + data[-sent:].hex())
            bio.write(data)
        return done

    state = {"C": False, "S": False}
    for _ in range(10):
        if state["C"] is False:
            state["C"] = turn("C", client.do_handshake, to_server)
        if state["S"] is False:
            state["S"] = turn("S", server.do_handshake, to_client)
        if all(s is not False for s in state.values()):
            break
    if all(state.values()):
        turn("C", lambda: client.write(b"GET / HTTP/1.1\r\n\r\n"), to_server)
        turn("S", lambda: (server.read(100), server.write(b"HTTP/1.1 200 OK\r\n\r\n")), to_client)
        turn("C", lambda: client.read(100), to_server)
        out.append("# version " + client.version())
        out.append("# cipher " + client.cipher()[0])
        out.append("# alpn " + str(client.selected_alpn_protocol()))
        out.append("# resumed " + str(client.session_reused))
    out.append("# established " + str(all(state.values())))
    return client.session if all(state.values()) else None


v12, v13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
server, client = contexts(v12)
ticket = play("tls12", server, client)
play("tls12-ticket", server, client, ticket)
server, client = contexts(v12)
server.options |= ssl.OP_NO_TICKET
server.set_ciphers("ECDHE")
client.options |= ssl.OP_NO_TICKET
identifier = play("tls12-identifier", server, client)
play("tls12-identifier-resumed", server, client, identifier)
server, client = contexts(v13)
ticket = play("tls13", server, client)
play("tls13-resumed", server, client, ticket)
server, client = contexts(v13)
server.set_ecdh_curve("secp384r1")
play("tls13-retry", server, client)
play("tls12-unknown-authority", *contexts(v12, trust=False))
play("tls13-unknown-authority", *contexts(v13, trust=False))
server, client = contexts(v12)
server.verify_mode = ssl.CERT_REQUIRED
play("tls12-no-client-certificate", server, client)

out.append("= certificates")
for cert in chain:
    der = cert.public_bytes(serialization.Encoding.DER)
    out.append("# sha1 " + hashlib.sha1(der).hexdigest())
    out.append("# sha256 " + hashlib.sha256(der).hexdigest())
    out.append("D " + der.hex())
with open("handshakes.txt", "w") as f:
    f.write("\n".join(out) + "\n")
