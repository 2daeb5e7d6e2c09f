"""Cases of names and addresses: DNS, DHCP, lists."""
import base64
import ipaddress
import random
import struct

from case import Zeek, case
from net import PC, ROUTER, TV

OUT = "128.66.7.7"
SITE = "www.shop.example"


def word(rng, length=14):
    return "".join(rng.choice("bcdfghklmnprstvwxzaeiou") for _ in range(length))


@case()
def dga(c):
    """A program asks for 30 invented names of which none exists"""
    for n in range(30):
        c.dns(n * 2, PC, word(c.random) + (".com", ".net", ".org")[n % 3], code=3)


@case(near={"dga_nxdomains": "nine different names, again and again; and a search domain behind full names, and names of the home network"})
def dga_not(c):
    """A browser's mistyped names, a search domain, and names of the home network that do not exist"""
    for n in range(27):
        c.dns(n * 5, PC, f"mistyped{n % 9}.com", code=3)
    for n in range(15):
        c.dns(n * 5 + 1, PC, f"host{n}.shop.example.lan", code=3)
        c.dns(n * 5 + 2, PC, f"printer{n}.local", code=3)


@case()
def entropy(c):
    """Orders in TXT answers: packed and encoded"""
    for n in range(3):
        c.dns(n * 60, PC, f"q{n}.cdn-telemetry.com", [("TXT", base64.b64encode(c.random.randbytes(90)).decode())], kind="TXT")


@case(near={"high_entropy_dns_answer": "keys of mail servers look just as random: DKIM, and proofs of ownership"})
def entropy_mail(c):
    """A mail program checks a sender: SPF, DKIM, DMARC"""
    key = base64.b64encode(c.random.randbytes(150)).decode()
    c.dns(0, PC, "s1._domainkey.shop.com", [("TXT", "v=DKIM1; k=rsa; p=" + key)], kind="TXT")
    c.dns(1, PC, "shop.com", [("TXT", "v=spf1 include:_spf.shop.com ip4:128.66.1.0/24 -all"), ("TXT", "google-site-verification=" + key[:43])], kind="TXT")
    c.dns(2, PC, "_dmarc.shop.com", [("TXT", "v=DMARC1; p=reject; rua=mailto:d@shop.com")], kind="TXT")


@case()
def reverse_names(c):
    """Names of 40 addresses are asked for in a second"""
    for n in range(40):
        c.dns(n / 40, PC, f"{n}.60.168.192.in-addr.arpa", code=3, kind="PTR")


@case(near={"dns_arpa_scan": "ten addresses, but 3 s for them; ten in 2 s make a scan"})
def reverse_names_slow(c):
    """A log viewer asks for the names of the addresses it shows"""
    for n in range(40):
        c.dns(n / 3, PC, f"{n}.60.168.192.in-addr.arpa", code=3, kind="PTR")


@case(info=["invalid_dns_resolution"])
def answer_private(c):
    """A name of the internet is answered with an address of the home network"""
    c.dns(0, PC, "cam.shop.com", ["192.168.60.20"])


@case(near={"invalid_dns_resolution": "private addresses for names of the home network"})
def answer_private_home(c):
    """Names of the home network have addresses of the home network"""
    for name in ("nas.local", "printer.lan", "router.home.arpa", "localhost"):
        c.dns(0, PC, name, ["127.0.0.1" if name == "localhost" else TV])


@case(info=["dns_without_connection"])
def name_unused(c):
    """A name is asked for and its address never contacted

    A shop is visited as well: connections of this computer are seen. 40 minutes later the next name is asked for."""
    c.dns(0, PC, "shop.com", [OUT]), c.https(1, PC, OUT, "shop.com")
    c.dns(2, PC, "drop.evil-place.com", ["128.66.5.5"])
    for n in range(5):
        c.dns(600 * n + 60, PC, "shop.com", [OUT]), c.https(600 * n + 61, PC, OUT, "shop.com")


@case(near={"dns_without_connection": "29 minutes between the name and its use, and another name of the same address is used"})
def name_used_late(c):
    """Names that are used late"""
    c.dns(0, PC, "shop.com", [OUT]), c.https(1, PC, OUT, "shop.com")
    c.dns(2, PC, "late.shop.com", ["128.66.5.5"]), c.https(1740, PC, "128.66.5.5", "late.shop.com")
    c.dns(3, PC, "alias.shop.com", [OUT])
    for n in range(6):
        c.dns(600 * n + 60, PC, "shop.com", [OUT]), c.https(600 * n + 61, PC, OUT, "shop.com")


@case(info=["connection_without_dns"])
def address_without_name(c):
    """A computer that asks for names connects to an address that no name led to"""
    c.dns(0, PC, "shop.com", [OUT]), c.https(1, PC, OUT, "shop.com")
    c.session(60, PC, "128.66.5.5", 8080, [(">", 40), ("<", 60)])
    c.dns(120, PC, "shop.com", [OUT])


@case(near={"connection_without_dns": "the name comes 10 s after the connection, as logs order it; and clock and calls are configured by address"})
def address_with_name(c):
    """Connections to addresses with names, a clock and a call"""
    c.dns(0, PC, "shop.com", [OUT]), c.https(1, PC, OUT, "shop.com")
    c.session(60, PC, "128.66.5.5", 8080, [(">", 40), ("<", 60)]), c.dns(70, PC, "other.shop.com", ["128.66.5.5"])
    c.ask(80, PC, "128.66.3.3", 123, b"\x23" + b"\x00" * 47, b"\x24" + b"\x00" * 47, sport=123)
    c.ask(81, PC, "128.66.3.4", 3478, b"\x00\x01" + b"\x00" * 18, b"\x01\x01" + b"\x00" * 18)
    c.dns(120, PC, "shop.com", [OUT])


@case(near={"dns_tunnel": "24 different long names below one domain, one lacks; and a content network's 300 short ones; and a reputation service"})
def tunnel_not(c):
    """Names that look made by machines and are: a content network, a shop's pictures, a virus scanner's questions"""
    for n in range(24):
        c.dns(n, PC, base64.b32encode(c.random.randbytes(24)).decode().strip("=").lower() + ".shop.com", [OUT])
    for n in range(300):
        c.dns(30 + n, PC, f"img{n:03}.pictures.net", [OUT])
    for n in range(60):
        c.dns(340 + n, PC, c.random.randbytes(16).hex() + ".hash.reputation.org", ["127.0.0.4"])


@case()
def tunnel_in_names(c):
    """A file leaves inside the names of 60 questions"""
    for n in range(60):
        part = base64.b32encode(c.random.randbytes(75)).decode().strip("=").lower()
        c.dns(n, PC, f"{part[:60]}.{part[60:]}.drop-place.com", [OUT])


def lease(c, t, message, mac, wanted=None, given=None):
    """One DHCP message: 1 discover, 2 offer, 3 request, 5 ack."""
    reply = message in (2, 5)
    zero = b"\x00" * 4
    pack = lambda a: ipaddress.ip_address(a).packed if a else zero
    options = bytes([53, 1, message])
    if wanted:
        options += b"\x32\x04" + pack(wanted)
    if reply:
        options += b"\x36\x04" + pack(ROUTER) + b"\x33\x04\x00\x00\x0e\x10" + b"\x03\x04" + pack(ROUTER) + b"\x01\x04\xff\xff\xff\x00"
    else:
        options += b"\x0c\x08phone-of" + b"\x3d\x07\x01" + mac
    body = struct.pack("!BBBBIHH", 2 if reply else 1, 1, 6, 0, 77, 0, 0) + zero + pack(given) + zero + zero + mac + b"\x00" * 202 + b"\x63\x82\x53\x63" + options + b"\xff"
    if reply:
        c.udp(t, ROUTER, 67, given or "255.255.255.255", 68, body)
    else:
        c.udp(t, "0.0.0.0", 68, "255.255.255.255", 67, body, src_mac=mac)


@case()
def dhcp_scan(c):
    """One device asks the DHCP server for eight different addresses"""
    for n in range(8):
        lease(c, n, 3, b"\x02\x60\x00\x00\x00\x0a", wanted=f"192.168.60.{100 + n}")


@case(near={"dhcp_scan": "three different addresses, four are needed; the same one many times"})
def dhcp_ordinary(c):
    """A telephone that comes home, asks for its old address, and gets another one; and renews it"""
    own = b"\x02\x60\x00\x00\x00\x0a"
    lease(c, 0, 3, own, wanted="192.168.60.100")
    lease(c, 1, 1, own, wanted="192.168.60.101"), lease(c, 1.1, 2, own, given="192.168.60.102")
    for n in range(10):
        lease(c, 1.2 + 60 * n, 3, own, wanted="192.168.60.102"), lease(c, 1.3 + 60 * n, 5, own, given="192.168.60.102")


LISTED = """
    "128.66.5.0/24","high","a bad network"
    "bad-place.com","high","a bad domain"
"""
LISTS = """
    [threatintelligence]
    download_path_for_local_threat_intelligence = lists
"""


@case(conf=LISTS, lists={"own.csv": LISTED})
def listed_address(c):
    """A computer connects to an address of a listed network"""
    c.session(0, PC, "128.66.5.77", 443, [(">", 100), ("<", 100)])


@case(conf=LISTS, lists={"own.csv": LISTED}, info=[])
def listed_address_comes(c):
    """A host of a listed network connects to a computer at home"""
    c.dns(0, PC, "shop.com", [OUT])
    c.session(1, "128.66.5.77", PC, 8080, [(">", 100), ("<", 100)])


@case(conf=LISTS, lists={"own.csv": LISTED},
      near={"threat_intelligence_to_blacklisted_ip": "the next network is not listed", "threat_intelligence_from_blacklisted_ip": "nor does it come from there",
            "threat_intelligence_blacklisted_domain": "a name that only ends in the same letters, one that only begins so",
            "threat_intelligence_blacklisted_dns_answer": "addresses of the next network", "threat_intelligence_answer_of_blacklisted_query": "no listed name was asked for"})
def listed_nearly(c):
    """Addresses and names beside the listed ones"""
    c.dns(0, PC, "notbad-place.com", ["128.66.6.1"]), c.dns(1, PC, "bad-place.com.shop.com", ["128.66.4.255"])
    c.https(2, PC, "128.66.6.1", "notbad-place.com"), c.https(3, PC, "128.66.4.255", "bad-place.com.shop.com")
    c.session(4, "128.66.6.1", PC, 8080, [(">", 100), ("<", 100)])


@case(conf=LISTS, lists={"own.csv": LISTED})
def listed_name(c):
    """A computer asks for names below a listed one, and connects"""
    c.dns(0, PC, "www.bad-place.com", [OUT])
    c.https(1, PC, OUT, "www.bad-place.com")


@case(conf=LISTS, lists={"own.csv": LISTED})
def listed_answer(c):
    """A harmless name is answered with a listed address"""
    c.dns(0, PC, "www.shop.com", ["128.66.5.9"])


PRINTS = """
    ja3,description
    "e7d705a3286e19ea42f587b344ee6865","medium","a remote access tool"
"""
HASHES = """
    "t13d1516h2_8daaf6152771_02713d6af862","high","a stealer's JA4"
    "0123456789abcdef0123456789abcdef01234567","high","a bot's certificate or file"
"""


def tls(z, ends, t, **more):
    z.add("ssl", t, **ends, version="TLSv12", cipher="TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", server_name="www.shop.com", resumed=False, established=True, **more)


@case(log=Zeek, conf=LISTS, lists={"ja3.csv": PRINTS})
def listed_ja3(z):
    """The JA3 of a program is listed, in another connection that of a server"""
    tls(z, z.conn(0, PC, OUT, 443, service="ssl"), 0.1, ja3="e7d705a3286e19ea42f587b344ee6865", ja3s="00000000000000000000000000000001")
    tls(z, z.conn(60, TV, "128.66.7.8", 443, service="ssl"), 60.1, ja3="00000000000000000000000000000002", ja3s="e7d705a3286e19ea42f587b344ee6865")


@case(log=Zeek, conf=LISTS, lists={"hashes.csv": HASHES})
def listed_ja4_and_certificate(z):
    """The JA4 of a program is listed, in another connection the certificate of a server"""
    tls(z, z.conn(0, PC, OUT, 443, service="ssl"), 0.1, ja4="t13d1516h2_8daaf6152771_02713d6af862")
    tls(z, z.conn(60, TV, "128.66.7.8", 443, service="ssl"), 60.1, cert_chain_fuids=["F1"])
    z.add("x509", 60.05, id="F1", fingerprint="0123456789abcdef0123456789abcdef01234567", subject="CN=www.shop.com", **{"certificate.issuer": "CN=Test CA 1"})


@case(log=Zeek, conf=LISTS, lists={"hashes.csv": HASHES})
def listed_file(z):
    """A file whose SHA-1 is listed comes over HTTP"""
    ends = z.conn(0, PC, OUT, 80, service="http")
    z.add("files", 0.2, fuid="F1", **ends, source="HTTP", mime_type="application/zip", filename="a.zip", seen_bytes=900, is_orig=False, local_orig=False,
          tx_hosts=[OUT], rx_hosts=[PC], sha1="0123456789abcdef0123456789abcdef01234567")


@case(log=Zeek, conf=LISTS, lists={"ja3.csv": PRINTS, "hashes.csv": HASHES},
      near={"malicious_ja3": "one digit differs", "malicious_ja3s": "one digit differs", "malicious_ja4": "the middle part is the same, the last one differs",
            "malicious_ssl_cert": "one digit differs", "malicious_downloaded_file": "one digit differs"})
def listed_prints_nearly(z):
    """Fingerprints and hashes that are listed but for one digit"""
    tls(z, z.conn(0, PC, OUT, 443, service="ssl"), 0.1, ja3="e7d705a3286e19ea42f587b344ee6866", ja3s="e7d705a3286e19ea42f587b344ee6864", ja4="t13d1516h2_8daaf6152771_02713d6af863", cert_chain_fuids=["F2"])
    z.add("x509", 0.05, id="F2", fingerprint="0123456789abcdef0123456789abcdef01234568", subject="CN=www.shop.com", **{"certificate.issuer": "CN=Test CA 1"})
    ends = z.conn(10, PC, OUT, 80, service="http")
    z.add("files", 10.2, fuid="F1", **ends, source="HTTP", mime_type="application/zip", filename="a.zip", seen_bytes=900, is_orig=False, local_orig=False,
          tx_hosts=[OUT], rx_hosts=[PC], sha1="0123456789abcdef0123456789abcdef01234569")
