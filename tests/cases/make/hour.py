"""An hour of an ordinary home, in which nothing must be told above info."""
import random

from case import case
from net import PC, ROUTER, TV, application, handshake
from names import lease

PHONE, PLUG = "192.168.60.30", "192.168.60.40"
# Sites with what they load besides: own pictures, content networks, statistics.
SITES = ["news.com", "weather.org", "shop.com", "forum.net", "video.com", "maps.org", "mail.com", "school.org"]
BESIDES = ["cdn.pictures.net", "fonts.letters.com", "s.counter.net", "ads.banner.com", "api.login.com"]


def place(name):
    """Address of a name: always the same."""
    number = random.Random(name).randrange(1, 60_000)
    return f"128.66.{number // 250}.{number % 250 + 1}"


@case(snap=640)
def hour_at_home(c):
    """An ordinary hour: a computer, a telephone, a television and a plug

    Browsing with a person's pauses (TLS and HTTP, ten sites with what they load besides), mail, a film, cloud sync that uploads pictures, checks for
    being online, time, leases, mDNS, SSDP, ARP, IPv6 discovery, pings, QUIC-like UDP, a download that is refused once, a name mistyped.
    Written, not recorded: an hour is too long to wait for. Bodies are shortened: sizes of the film and the pictures are tenths."""
    r = random.Random(60)
    for last, host in ((10, PC), (20, TV), (30, PHONE), (40, PLUG)):
        own = b"\x02\x60\x00\x00\x00" + bytes([last])
        lease(c, last / 10, 3, own, wanted=host), lease(c, last / 10 + 0.05, 5, own, given=host)
        for n in range(12):
            c.whois(5 + 300 * n + last / 100, host, ROUTER)
        c.arp(last / 10 + 1, 1, "0.0.0.0", host, sender_mac=own), c.arp(last / 10 + 2, 1, host, host)
    # Browsing.
    t = 20.0
    for _ in range(45):
        t += r.expovariate(1 / 90)
        if t > 3500:
            break
        site = "www." + r.choice(SITES)
        for name in [site, *r.sample(BESIDES, 3)]:
            c.dns(t, PC, name, [place(name)]), c.dns(t + 0.001, PC, name, [], kind="AAAA")
            for n in range(r.randrange(1, 3)):
                at = t + 0.1 + n / 10 + r.random() / 10
                if name == "www.weather.org":
                    c.http(at, PC, place(name), name, f"/today/{r.randrange(99)}", reply=b"<html>" + b"x" * r.randrange(300, 3000))
                else:
                    c.https(at, PC, place(name), name, sent=r.randrange(300, 900), got=r.randrange(400, 6000), version="1.3")
    c.dns(700, PC, "www.wether.org", code=3), c.attempt(900, PC, place("www.school.org"), 443, refused=True)
    for n in range(4):
        c.icmp(1000 + n, PC, place("www.news.com"), 8), c.icmp(1000.02 + n, place("www.news.com"), PC, 0)
    # Mail, every ten minutes; push and sync of the telephone.
    for n in range(6):
        c.dns(40 + 600 * n, PC, "imap.mail.com", [place("imap.mail.com")]), c.https(40.1 + 600 * n, PC, place("imap.mail.com"), "imap.mail.com", port=993, got=r.randrange(500, 3000))
    c.dns(60, PHONE, "push.phone.com", [place("push.phone.com")])
    talk = [(">", 300)]
    for _ in range(11):
        talk += [290.0 + r.random() * 20, (">", 60), ("<", 60)]
    c.session(61, PHONE, place("push.phone.com"), 5223, talk, end=None)
    c.dns(1200, PHONE, "sync.cloud.com", [place("sync.cloud.com")])
    for n in range(8):
        c.https(1201 + 4 * n, PHONE, place("sync.cloud.com"), "sync.cloud.com", sent=16_000, got=300, version="1.3")
    # Checks for being online.
    for host, name, path in ((PHONE, "connectivitycheck.gstatic.com", "/generate_204"), (PC, "detectportal.firefox.com", "/success.txt")):
        for n in range(12):
            c.dns(80 + 300 * n, host, name, [place(name)])
            c.http(80.1 + 300 * n, host, place(name), name, path, reply=b"success\n", agent="Mozilla/5.0 (Linux; Android 14)" if host == PHONE else "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0")
    # A film: pieces every ten seconds for twenty minutes.
    c.dns(1800, TV, "film.video.com", [place("film.video.com")])
    c.session(1801, TV, place("film.video.com"), 443, handshake("film.video.com", version="1.3")
              + [turn for _ in range(40) for turn in ((">", application(400)), ("<", application(1400 * r.randrange(1, 4))), 30.0)])
    # UDP as QUIC: one long conversation on 443.
    c.dns(2500, PC, "www.video.com", [place("www.video.com")])
    for n in range(60):
        c.ask(2501 + n / 5, PC, place("www.video.com"), 443, b"\x40" + bytes(60), b"\x40" + bytes(200), sport=50_443)
    # Clockwork: time, the plug's cloud, discovery.
    for n in range(56):
        c.ask(64 * n + 3, TV, "128.66.3.3", 123, b"\x23" + b"\x00" * 47, b"\x24" + b"\x00" * 47, sport=123)
    c.dns(7, PLUG, "mqtt.plug.com", [place("mqtt.plug.com")])
    c.session(8, PLUG, place("mqtt.plug.com"), 8883, [(">", 300), ("<", 900)] + [turn for _ in range(58) for turn in (60.0, (">", 40), ("<", 40))], end=None)
    for n in range(60):
        c.udp(60 * n + 11, TV, 5353, "224.0.0.251", 5353, b"\x00" * 4 + b"\x00\x01" + b"\x00" * 6 + b"\x0b_googlecast\x04_tcp\x05local\x00\x00\x0c\x00\x01")
        c.udp(60 * n + 12, TV, 40_900, "239.255.255.250", 1900, b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 3\r\nST: ssdp:all\r\n\r\n")
        c.udp(60 * n + 13, PC, 138, "192.168.60.255", 138, b"\x11\x02" + b"\x00" * 60)
        c.udp(60 * n + 14, PC, 5355, "224.0.0.252", 5355, b"\x00\x01\x00\x00\x00\x01" + b"\x00" * 6 + b"\x04wpad\x00\x00\x01\x00\x01")
    # The computer finds the television and shows a picture on it.
    c.whois(2000, PC, TV), c.https(2001, PC, TV, "tv.local", port=8009, issuer=None, sent=3000)
    # The telephone leaves: its last connections are reset.
    for n in range(3):
        c.session(3550 + n, PHONE, place("sync.cloud.com"), 443, [(">", b"\x17\x03\x03\x00\x20" + bytes(32)), ("<", b"\x17\x03\x03\x00\x20" + bytes(32))], end="rst", begin=False)
