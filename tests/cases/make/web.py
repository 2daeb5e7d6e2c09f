"""Cases of what is said above TCP: HTTP, TLS, log-ins, mail."""
import base64

from case import Zeek, case
from net import PC, ROUTER, TV, handshake

OUT = "128.66.7.7"
SITE = "www.shop.com"


def look_up(c, t=0.0, name=SITE, addr=OUT):
    c.whois(t, PC, ROUTER)
    c.dns(t + 0.01, PC, name, [addr])


@case()
def agent_suspicious(c):
    """A request with the user agent of a tool that tries SQL injections"""
    look_up(c)
    c.http(1, PC, OUT, SITE, "/item?id=1%20or%201=1", agent="sqlmap/1.8.2#stable (https://sqlmap.org)")


@case(near={"suspicious_user_agent": "pb stands inside words and names only: Superpbx, SpbBrowser"})
def agent_ordinary(c):
    """Agents of telephones and players whose names hold the letters pb"""
    look_up(c)
    for n, agent in enumerate(("Superpbx/3.1", "SpbBrowser/2.0 (Linux)", "Mozilla/5.0 (X11; Linux x86_64) npbPlayer/1")):
        c.http(1 + n, PC, OUT, SITE, agent=agent)


@case(info=["multiple_user_agent"])
def agents_of_two_systems(c):
    """One address says that it is Windows, and then that it is Android"""
    look_up(c)
    c.http(1, PC, OUT, SITE, agent="Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0")
    c.http(2, PC, OUT, SITE, agent="Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8)")


@case(near={"multiple_user_agent": "several programs of one Mac: Safari, an update, a telephone's page on it"})
def agents_of_one_system(c):
    """Programs of one computer by Apple"""
    look_up(c)
    for n, agent in enumerate(("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1", "trustd (unknown version) CFNetwork/1490 Darwin/23.2.0", "curl/8.4.0")):
        c.http(1 + n, PC, OUT, SITE, agent=agent)


@case()
def empty_requests(c):
    """A program asks google.com four times for its start page"""
    look_up(c, name="google.com")
    for n in range(4):
        c.http(1 + 60 * n, PC, OUT, "google.com", agent="Go-http-client/1.1", reply=b"", status="301 Moved")


@case(near={"empty_connections": "three times the start page, and searches"})
def empty_requests_three(c):
    """Three start pages and ten searches"""
    look_up(c, name="google.com")
    for n in range(3):
        c.http(1 + 60 * n, PC, OUT, "google.com")
    for n in range(10):
        c.http(200 + n, PC, OUT, "google.com", f"/?q=word{n}")


@case(info=["http_traffic"])
def clear_text(c):
    """A page is read in clear"""
    look_up(c)
    c.http(1, PC, OUT, SITE)


@case(near={"http_traffic": "the same page over TLS", "self_signed_certificate": "signed by another", "non_ssl_port_443_connection": "it is TLS",
            "incompatible_cn": "the certificate is for the name that was asked for"})
def encrypted(c):
    """A page is read over TLS 1.2 and TLS 1.3"""
    look_up(c)
    c.https(1, PC, OUT, SITE), c.https(2, PC, OUT, SITE, version="1.3")


@case()
def program_download(c):
    """A Windows program is downloaded in clear"""
    look_up(c)
    c.http(1, PC, OUT, SITE, "/setup.exe", reply=b"MZ" + b"\x90" * 3000, mime="application/x-msdownload")


@case(near={"executable_mime_type": "pictures, scripts and packed text"})
def program_download_not(c):
    """Pictures, a script and an archive are downloaded in clear"""
    look_up(c)
    c.http(1, PC, OUT, SITE, "/a.png", reply=b"\x89PNG\r\n\x1a\n" + b"\x00" * 300, mime="image/png")
    c.http(2, PC, OUT, SITE, "/a.js", reply=b"let a = 1;" * 30, mime="text/javascript")
    c.http(3, PC, OUT, SITE, "/a.gz", reply=b"\x1f\x8b\x08" + b"\x00" * 300, mime="application/gzip")


@case()
def method_weird(c):
    """A request with a method that no standard knows"""
    look_up(c)
    c.http(1, PC, OUT, SITE, "/x", method="EVIL")


@case(near={"weird_http_method": "rare methods, but of standards: WebDAV, UPnP, BITS"})
def method_rare(c):
    """Rare methods of standards"""
    look_up(c)
    for n, method in enumerate(("PROPFIND", "MKCALENDAR", "M-SEARCH", "BITS_POST", "PATCH", "OPTIONS")):
        c.http(1 + n, PC, OUT, SITE, method=method)


@case()
def self_signed(c):
    """A server whose certificate vouches for itself"""
    look_up(c)
    c.https(1, PC, OUT, SITE, issuer=None)


@case(info=["self_signed_certificate"])
def self_signed_at_home(c):
    """The router's own page, with its own certificate: worth knowing, no attack"""
    c.whois(0, PC, ROUTER)
    c.https(1, PC, ROUTER, "router.lan", issuer=None)


@case()
def certificate_of_google(c):
    """A server that is not Google's shows a certificate for google.com"""
    look_up(c)
    c.https(1, PC, OUT, SITE, subject="/CN=www.google.com", names=["www.google.com"])


@case(log=Zeek, info=["pastebin_download"])
def paste(z):
    """900 KB come from a paste site"""
    ends = z.conn(0, PC, OUT, 443, service="ssl", sent=900, got=900_000)
    z.add("ssl", 0.1, **ends, version="TLSv13", cipher="TLS_AES_128_GCM_SHA256", server_name="pastebin.com", resumed=False, established=True)


@case(log=Zeek, near={"pastebin_download": "700 bytes: the limit itself, a handshake and no page"})
def paste_looked_at(z):
    """A connection to a paste site that brings nothing"""
    ends = z.conn(0, PC, OUT, 443, service="ssl", sent=900, got=700)
    z.add("ssl", 0.1, **ends, version="TLSv13", cipher="TLS_AES_128_GCM_SHA256", server_name="pastebin.com", resumed=False, established=True)


@case()
def no_tls_on_443(c):
    """A shell on port 443"""
    look_up(c)
    c.session(1, PC, OUT, 443, [("<", b"whoami\n"), (">", b"root\n"), ("<", b"cat /etc/shadow\n"), (">", 900)])
    c.dns(700, PC, SITE, [OUT])


@case()
def no_http_on_80(c):
    """A shell on port 80"""
    look_up(c)
    c.session(1, PC, OUT, 80, [("<", b"whoami\n"), (">", b"root\n"), ("<", b"cat /etc/shadow\n"), (">", 900)])
    c.dns(700, PC, SITE, [OUT])


@case(near={"non_http_port_80_connection": "no byte is said, and one attempt is refused", "non_ssl_port_443_connection": "no byte is said, and one attempt is refused"})
def silent_on_web_ports(c):
    """Connections to the web's ports in which nothing is said"""
    look_up(c)
    for port in (80, 443):
        c.session(1, PC, OUT, port, []), c.attempt(2, PC, OUT, port, refused=True)
    c.dns(700, PC, SITE, [OUT])


def ssh(c, t, server, client_banner, server_banner="SSH-2.0-OpenSSH_9.2p1", size=0):
    return c.session(t, PC, server, 22, [(">", client_banner.encode() + b"\r\n"), ("<", server_banner.encode() + b"\r\n"), (">", size), ("<", size)] if size else
                     [(">", client_banner.encode() + b"\r\n"), ("<", server_banner.encode() + b"\r\n")])


@case()
def ssh_version_changes(c):
    """An SSH client of another version than an hour ago

    Two computers behind one address, or one who brought his own program."""
    ssh(c, 0, OUT, "SSH-2.0-OpenSSH_9.2p1"), ssh(c, 60, OUT, "SSH-2.0-OpenSSH_7.4")


@case(near={"multiple_ssh_versions": "the same client with another patch, and another program"})
def ssh_programs(c):
    """A computer with two SSH programs"""
    ssh(c, 0, OUT, "SSH-2.0-OpenSSH_9.2p1"), ssh(c, 60, OUT, "SSH-2.0-OpenSSH_9.2p2"), ssh(c, 120, OUT, "SSH-2.0-libssh_0.10.6")


def mail(c, t, client, server, login, refusal=b"535 5.7.8 Error: authentication failed\r\n"):
    talk = [("<", b"220 mail.shop.com ESMTP\r\n"), (">", b"EHLO pc\r\n"), ("<", b"250-mail.shop.com\r\n250 AUTH PLAIN LOGIN\r\n")]
    if login:
        talk += [(">", b"AUTH PLAIN " + base64.b64encode(b"\0anna\0" + login) + b"\r\n"), ("<", refusal), (">", b"QUIT\r\n"), ("<", b"221 bye\r\n")]
    else:
        talk += [(">", b"MAIL FROM:<anna@shop.com>\r\n"), ("<", b"250 ok\r\n"), (">", b"RCPT TO:<bert@shop.com>\r\n"), ("<", b"250 ok\r\n"), (">", b"DATA\r\n"), ("<", b"354 go on\r\n"),
                 (">", b"Subject: hello\r\n\r\nhello\r\n.\r\n"), ("<", b"250 queued\r\n"), (">", b"QUIT\r\n"), ("<", b"221 bye\r\n")]
    return c.session(t, client, server, 25, talk)


@case(near={"smtp_login_bruteforce": "two refusals within 10 s, three are needed; the third comes later"})
def mail_login_refused(c):
    """A mail server refuses three log-ins, one every 6 s"""
    look_up(c)
    for n in range(3):
        mail(c, 1 + 6 * n, PC, OUT, b"secret%d" % n)


@case()
def mail_login_guessed(c):
    """A mail server refuses eight log-ins within 8 s"""
    look_up(c)
    for n in range(8):
        mail(c, 1 + n, PC, OUT, b"secret%d" % n)


@case(near={"bad_smtp_login": "the log-in is accepted, and a letter is sent without one"})
def mail_sent(c):
    """Letters are sent, with and without log-in"""
    look_up(c)
    mail(c, 1, PC, OUT, b"secret", b"235 2.7.0 Authentication successful\r\n")
    mail(c, 10, PC, OUT, None)


@case(info=["cn_url_mismatch"])
def certificate_of_another(c):
    """A server shows a certificate of somebody else than it was asked for"""
    look_up(c)
    c.https(1, PC, OUT, SITE, subject="/CN=www.florist.org", names=["www.florist.org"])


@case(near={"cn_url_mismatch": "the same owner's domain of another country, and a name below the one of the certificate"})
def certificate_of_same_owner(c):
    """One shop with domains in two countries and a certificate with a star"""
    look_up(c)
    c.https(1, PC, OUT, "www.shop.de", subject="/CN=shop.com", names=["shop.com"])
    c.https(2, PC, OUT, "pictures.shop.com", subject="/CN=*.shop.com", names=["*.shop.com"])


def rdp(c, t, server, said, pause):
    hello = b"\x03\x00\x00\x2b\x26\xe0\x00\x00\x00\x00\x00Cookie: mstshash=anna\r\n\x01\x00\x08\x00\x03\x00\x00\x00"
    reply = b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x124\x00\x02\x0f\x08\x00\x02\x00\x00\x00"
    return c.session(t, PC, server, 3389, [(">", hello), ("<", reply), *handshake("rdp.shop.com", sent=said, got=900), pause])


@case()
def rdp_guessed(c):
    """12 log-ins to a remote desktop, each refused within a second"""
    look_up(c)
    for n in range(12):
        rdp(c, 5 + 3 * n, OUT, 700, 0.5)


@case(near={"password_guessing": "eight log-ins, nine are needed; and one that lasts, since somebody works there"})
def rdp_at_work(c):
    """A remote desktop is used, with a line that breaks eight times"""
    look_up(c)
    for n in range(8):
        rdp(c, 5 + 60 * n, OUT, 700, 0.5)
    rdp(c, 600, OUT, 26_000, 240.0)


@case(conf="""
      [logins]
      attempts = 3
      [certificates]
      pastebin_bytes = 5000
      """)
def thresholds_set(c):
    """An owner who wants to hear of three refused log-ins

    Thresholds are keys of the configuration."""
    look_up(c)
    for n in range(3):
        mail(c, 1 + 20 * n, PC, OUT, b"secret%d" % n)


def telnet(c, t, server, words):
    talk = [("<", b"\xff\xfb\x01\xff\xfb\x03camera login: ")]
    for word in words:
        talk += [(">", b"root\r\n"), ("<", b"Password: "), (">", word + b"\r\n"), 1.0, ("<", b"\r\nLogin incorrect\r\ncamera login: ")]
    return c.session(t, PC, server, 23, talk)


@case(info=["login"])
def telnet_guessed(c):
    """12 passwords of a camera are guessed over telnet, three a connection, those that worms of devices try first"""
    look_up(c)
    words = (b"xc3511", b"vizxv", b"admin", b"888888", b"default", b"123456", b"54321", b"support", b"root", b"12345", b"user", b"pass")
    for n in range(4):
        telnet(c, 2 + 10 * n, OUT, words[3 * n : 3 * n + 3])


@case()
def agent_of_another_maker(c):
    """A device of Apple, by its hardware address, says that it is Windows"""
    c.macs[PC] = bytes.fromhex("0c4de9000010")
    look_up(c)
    c.http(1, PC, OUT, SITE, agent="Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36")


@case(near={"incompatible_user_agent": "Apple's devices say Safari and curl says nothing of a system; a device whose maker is not known may be Windows"})
def agent_of_its_maker(c):
    """A device of Apple with Safari and curl, and one of an unknown maker with Windows"""
    c.macs[PC] = bytes.fromhex("0c4de9000010")
    look_up(c)
    c.http(1, PC, OUT, SITE, agent="Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15")
    c.http(2, PC, OUT, SITE, agent="curl/8.7.1")
    c.http(3, TV, OUT, SITE, agent="Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0")
