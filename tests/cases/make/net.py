"""Writes captures packet by packet: Ethernet, ARP, IPv4, IPv6, ICMP, UDP, TCP, DNS and TLS, with the standard library only.

The home network is 192.168.60.0/24, its router 192.168.60.1. What is not in it lies behind the router: 128.66.0.0/16 plays the
internet (it was once set aside for tests and is nobody's to answer). A host's MAC is 02:60:00:00:00:<last byte of its address>.
Times are seconds since START, an hour that begins a window. Random numbers come from a seed, so that a run gives the same bytes;
only TLS keys differ from run to run.
"""
import gzip, ipaddress, os, random, ssl, struct, subprocess, tempfile

START = 1_700_002_800
ROUTER, PC, TV = "192.168.60.1", "192.168.60.10", "192.168.60.20"
HOME = ipaddress.ip_network("192.168.60.0/24")


def mac(host):
    """Hardware address of a host: the router's for all that is not at home."""
    if isinstance(host, bytes):
        return host
    addr = ipaddress.ip_address(host)
    if addr.is_multicast:
        return b"\x01\x00\x5e" + addr.packed[-3:] if addr.version == 4 else b"\x33\x33" + addr.packed[-4:]
    if str(addr) in ("255.255.255.255", str(HOME.broadcast_address)):
        return b"\xff" * 6
    if addr in HOME or str(addr).startswith(("fd60:", "fe80:", "10.9.8.")):
        return b"\x02\x60\x00\x00\x00" + addr.packed[-1:]
    return mac(ROUTER)


def checksum(data):
    data += b"\x00" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Capture:
    """Packets in any order; `write` sorts them by time."""

    def __init__(self, snap=65535, seed=1):
        self.packets, self.snap, self.random, self.port = [], snap, random.Random(seed), 40_000
        self.macs = {}  # hardware addresses that are not made from the address

    def mac(self, host):
        return self.macs.get(host) or mac(host)

    def frame(self, t, src, dst, kind, payload):
        data = (self.mac(dst) + self.mac(src) + struct.pack("!H", kind) + payload).ljust(60, b"\x00")
        self.packets.append((t, data))

    def ip(self, t, src, dst, proto, payload, ttl=64, src_mac=None):
        a, b = ipaddress.ip_address(src), ipaddress.ip_address(dst)
        if a.version == 6:
            head = struct.pack("!IHBB", 6 << 28, len(payload), proto, ttl) + a.packed + b.packed
            return self.frame(t, src_mac or src, dst, 0x86DD, head + payload)
        # A home router lowers the time to live of what it passes on; nothing here depends on it.
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), self.random.randrange(65536), 0x4000, ttl, proto, 0) + a.packed + b.packed
        self.frame(t, src_mac or src, dst, 0x0800, head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload)

    def arp(self, t, op, sender, target, sender_mac=None, target_mac=b"\x00" * 6, to=b"\xff" * 6):
        own = sender_mac or self.mac(sender)
        a, b = ipaddress.ip_address(sender).packed, ipaddress.ip_address(target).packed
        self.frame(t, own, to, 0x0806, struct.pack("!HHBBH", 1, 0x0800, 6, 4, op) + own + a + target_mac + b)

    def whois(self, t, asker, target):
        """An ARP question and its answer."""
        self.arp(t, 1, asker, target)
        self.arp(t + 0.0004, 2, target, asker, target_mac=self.mac(asker), to=self.mac(asker))

    def icmp(self, t, src, dst, kind, body=b"\x00" * 32, code=0):
        data = struct.pack("!BBH", kind, code, 0) + struct.pack("!HH", 7, 1) + body
        self.ip(t, src, dst, 1, data[:2] + struct.pack("!H", checksum(data)) + data[4:])

    def _pseudo(self, src, dst, proto, data):
        a, b = ipaddress.ip_address(src).packed, ipaddress.ip_address(dst).packed
        length = struct.pack("!I", len(data)) + b"\x00\x00\x00" if len(a) == 16 else b"\x00"
        head = a + b + (length + bytes([proto]) if len(a) == 16 else length + bytes([proto]) + struct.pack("!H", len(data)))
        return checksum(head + data)

    def udp(self, t, src, sport, dst, dport, data, src_mac=None):
        head = struct.pack("!HHHH", sport, dport, 8 + len(data), 0)
        self.ip(t, src, dst, 17, head[:6] + struct.pack("!H", self._pseudo(src, dst, 17, head + data)) + data, src_mac=src_mac)

    def ask(self, t, src, dst, dport, question, answer=None, after=0.01, sport=None):
        """One datagram and, unless it is None, the answer to it."""
        sport = sport or self.next_port()
        self.udp(t, src, sport, dst, dport, question)
        if answer is not None:
            self.udp(t + after, dst, dport, src, sport, answer)

    def next_port(self):
        self.port = 40_000 + (self.port - 39_999) % 20_000
        return self.port

    def segment(self, t, src, sport, dst, dport, flags, seq, ack, data=b"", window=64240):
        head = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, window, 0, 0)
        self.ip(t, src, dst, 6, head[:16] + struct.pack("!H", self._pseudo(src, dst, 6, head + data)) + head[18:] + data)

    def attempt(self, t, src, dst, dport, refused=False, sport=None):
        """A SYN that gets no answer, or a reset."""
        sport, seq = sport or self.next_port(), self.random.randrange(2**32)
        self.segment(t, src, sport, dst, dport, 0x02, seq, 0)
        if refused:
            self.segment(t + 0.002, dst, dport, src, sport, 0x14, 0, seq + 1)

    def session(self, t, src, dst, dport, talk=(), end="fin", step=0.005, sport=None, begin=True):
        """A TCP connection. `talk` holds (">" or "<", bytes or a number of bytes) or a pause in seconds. Returns when it ends."""
        sport = sport or self.next_port()
        seq = {">": self.random.randrange(2**32), "<": self.random.randrange(2**32)}
        ends = {">": (src, sport, dst, dport), "<": (dst, dport, src, sport)}
        other = {">": "<", "<": ">"}

        def send(side, flags, data=b""):
            nonlocal t
            self.segment(t, *ends[side], flags, seq[side], seq[other[side]] if flags & 0x10 else 0, data)
            seq[side] += len(data) + (1 if flags & 3 else 0)
            t += step

        if begin:
            send(">", 0x02), send("<", 0x12), send(">", 0x10)
        for turn in talk:
            if not isinstance(turn, tuple):
                t += turn
                continue
            side, data = turn
            data = bytes(data) if isinstance(data, int) else data
            for at in range(0, len(data), 1400):
                send(side, 0x18, data[at : at + 1400])
            send(other[side], 0x10)
        if end == "fin":
            send(">", 0x11), send("<", 0x11), send(">", 0x10)
        elif end == "rst":
            send(">", 0x14)
        return t

    def dns(self, t, client, name, answers=(), kind="A", code=0, server=ROUTER, after=0.02, port=53, sport=None):
        """A question and its answer: addresses, or (type, text) pairs; `answers=None` for none."""
        kinds = {"A": 1, "NS": 2, "CNAME": 5, "NULL": 10, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "ANY": 255}
        ident, question = self.random.randrange(65536), dns_name(name) + struct.pack("!HH", kinds[kind], 1)
        ask = struct.pack("!HHHHHH", ident, 0x0100, 1, 0, 0, 0) + question
        if answers is None:
            return self.ask(t, client, server, port, ask, sport=sport)
        body = b""
        for answer in answers:
            what, value = answer if isinstance(answer, tuple) else (None, answer)
            if what is None:
                data = ipaddress.ip_address(value).packed
                what = "A" if len(data) == 4 else "AAAA"
            elif what == "TXT":
                raw = value if isinstance(value, bytes) else value.encode()
                data = b"".join(bytes([len(raw[i : i + 255])]) + raw[i : i + 255] for i in range(0, len(raw), 255))
            elif what == "NULL":
                data = value
            else:
                data = dns_name(value)
            body += b"\xc0\x0c" + struct.pack("!HHIH", kinds[what], 1, 60, len(data)) + data
        reply = struct.pack("!HHHHHH", ident, 0x8180 | code, 1, len(answers), 0, 0) + question + body
        self.ask(t, client, server, port, ask, reply, after, sport)

    def http(self, t, client, server, host, path="/", agent="Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
             method="GET", reply=b"ok", status="200 OK", mime="text/html", port=80, headers="", body=b""):
        """One request over a connection of its own. Returns when it ends."""
        if body:
            headers += f"Content-Length: {len(body)}\r\n"
        ask = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n{headers}\r\n".encode() + body
        answer = f"HTTP/1.1 {status}\r\nServer: nginx\r\nContent-Type: {mime}\r\nContent-Length: {len(reply)}\r\n\r\n".encode() + reply
        return self.session(t, client, server, port, [(">", ask), ("<", answer)])

    def https(self, t, client, server, name, sent=300, got=900, port=443, **how):
        """A TLS connection with application data of that many bytes. Returns when it ends."""
        return self.session(t, client, server, port, handshake(name, sent=sent, got=got, **how))

    def write(self, path):
        out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, self.snap, 1)]
        for t, data in sorted(self.packets, key=lambda p: p[0]):
            us = round((START + t) * 1_000_000)
            out.append(struct.pack("<IIII", us // 1_000_000, us % 1_000_000, min(len(data), self.snap), len(data)) + data[: self.snap])
        raw = b"".join(out)
        if len(raw) > 20_000:
            path, raw = path + ".gz", gzip.compress(raw, 9, mtime=0)
        with open(path, "wb") as f:
            f.write(raw)


def dns_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.strip(".").split(".") if part) + b"\x00"


_work = tempfile.TemporaryDirectory()
_certs = {}


def certificate(subject, names=(), issuer=None):
    """A certificate and key in one file, made by openssl. `issuer` signs it; without one it signs itself."""
    key = (subject, tuple(names), issuer)
    if key in _certs:
        return _certs[key]
    base = os.path.join(_work.name, str(len(_certs)))
    run = lambda *words: subprocess.run(words, check=True, capture_output=True)
    extension = ["-addext", "subjectAltName=" + ",".join("DNS:" + n for n in names)] if names else []
    common = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "36500", "-subj", subject, *extension]
    if issuer is None:
        run(*common, "-keyout", base + ".key", "-out", base + ".crt")
    else:
        authority = os.path.join(_work.name, "ca" + str(len(_certs)))
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "36500", "-subj", issuer, "-keyout", authority + ".key", "-out", authority + ".crt")
        run(*common, "-CA", authority + ".crt", "-CAkey", authority + ".key", "-keyout", base + ".key", "-out", base + ".crt")
    with open(base + ".pem", "wb") as out:
        for part in (".key", ".crt"):
            with open(base + part, "rb") as f:
                out.write(f.read())
    _certs[key] = base + ".pem"
    return _certs[key]


def handshake(name, subject=None, names=None, issuer="/C=US/O=Test Trust Services/CN=Test CA 1", version="1.2", sent=300, got=900, ciphers=None, alpn=("h2", "http/1.1")):
    """What client and server of a TLS connection say, from OpenSSL talking to itself: for `Capture.session`."""
    subject = subject or f"/CN={name}"
    names = [name] if names is None and name else names or ()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(certificate(subject, names, issuer))
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    for context in (server, client):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2 if version == "1.2" else ssl.TLSVersion.TLSv1_3
        if alpn:
            context.set_alpn_protocols(list(alpn))
    if ciphers:
        client.set_ciphers(ciphers)
    # The ends talk over memory that is read here and handed on, so that every byte is seen.
    to_server, to_client, talk = ssl.MemoryBIO(), ssl.MemoryBIO(), []
    inbox = {">": ssl.MemoryBIO(), "<": ssl.MemoryBIO()}
    s = server.wrap_bio(inbox[">"], to_client, server_side=True)
    c = client.wrap_bio(inbox["<"], to_server, server_hostname=name)

    def turn(side, action):
        try:
            action()
            done = True
        except ssl.SSLWantReadError:
            done = False
        out, there = (to_server, ">") if side == ">" else (to_client, "<")
        data = out.read()
        if data:
            talk.append((side, data))
            inbox[there].write(data)
        return done

    done = [False, False]
    for _ in range(6):
        done[0] = done[0] or turn(">", c.do_handshake)
        done[1] = done[1] or turn("<", s.do_handshake)
        if all(done):
            break
    # Application data is what it looks like from outside, without a content that would only make captures large.
    return talk + [(">", application(sent)), ("<", application(got))]


def application(size):
    """Encrypted data of that many bytes, in records; their content is zeros."""
    return b"".join(b"\x17\x03\x03" + struct.pack("!H", min(16_000, size - at)) + bytes(min(16_000, size - at)) for at in range(0, size, 16_000))
