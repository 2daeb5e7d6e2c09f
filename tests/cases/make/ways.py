"""Cases of connections: where to, how often, how long, how much."""
import ipaddress
import random
import struct

from case import Eve, Zeek, case
from net import PC, ROUTER, TV, checksum, mac

OUT = "128.66.7.7"


def look_up(c, t=0.0, name="www.shop.example", addr=OUT):
    """A host that asks for names, so that the router is known as such."""
    c.whois(t, PC, ROUTER)
    c.dns(t + 0.01, PC, name, [addr])


@case(near={"port_0_connection": "port 1 is one above 0"})
def port_zero_not(c):
    """Connections to port 1 and pings are no use of port 0

    A ping has no ports: a program that writes 0 for them must not make it look like port 0."""
    c.session(0, PC, OUT, 1, [(">", 40), ("<", 40)])
    for n in range(3):
        c.icmp(1 + n, PC, OUT, 8), c.icmp(1.01 + n, OUT, PC, 0)


@case()
def port_zero(c):
    """UDP datagrams to port 0

    No program uses that port; scanners and broken flood tools do."""
    for n in range(3):
        c.udp(n, PC, 40_000 + n, OUT, 0, b"x" * 20)


@case()
def reconnections(c):
    """A program that is refused five times and tries again"""
    look_up(c)
    for n in range(5):
        c.attempt(1 + 20 * n, PC, OUT, 8080, refused=True)


@case(near={"multiple_reconnection_attempts": "four times refused, five are needed; another port of the same host is another program"})
def reconnections_four(c):
    """A program that is refused four times on one port and four times on another"""
    look_up(c)
    for n in range(4):
        c.attempt(1 + 20 * n, PC, OUT, 8080, refused=True)
        c.attempt(2 + 20 * n, PC, OUT, 8081, refused=True)


@case()
def reconnections_telnet(c):
    """Four telnet connections that nobody answers"""
    look_up(c)
    for n in range(4):
        c.attempt(1 + 20 * n, PC, OUT, 23)


@case(info=["connection_to_multiple_ports"])
def many_ports(c):
    """Two unknown protocols on two ports of one server"""
    look_up(c)
    for n, port in enumerate((8009, 8082)):
        c.session(1 + n, PC, OUT, port, [(">", b"\x01\x02\x03\x04" * 8), ("<", b"\x05\x06" * 30)])


@case(near={"connection_to_multiple_ports": "both services are known: HTTP and TLS of one web server"})
def many_ports_web(c):
    """HTTP and HTTPS of one web server"""
    look_up(c)
    c.http(1, PC, OUT, "www.shop.example")
    c.https(2, PC, OUT, "www.shop.example")


@case(info=["connection_to_private_ip"])
def private_address(c):
    """A computer looks at its television's web page"""
    look_up(c)
    c.whois(1, PC, TV)
    c.http(2, PC, TV, TV)


@case(near={"connection_to_private_ip": "both are private addresses, and the router is asked for names and leases"})
def private_address_not(c):
    """A computer asks the router for names and for its lease"""
    look_up(c)
    for n in range(20):
        c.dns(1 + n, PC, f"host{n}.shop.example", ["128.66.7.8"])
    c.https(30, PC, OUT, "www.shop.example")


@case()
def other_network(c):
    """A computer connects to a private address that is not of the home network"""
    look_up(c)
    c.session(1, PC, "10.9.8.7", 80, [(">", b"GET / HTTP/1.0\r\n\r\n"), ("<", b"HTTP/1.0 200 OK\r\n\r\nhi")])


@case(near={"different_localnet": "10.9.8.0/24 is another private range, and the configuration says that it is home"},
      conf="""
      [parameters]
      home_network = 192.168.60.0/24, 10.9.8.0/24
      """)
def other_network_known(c):
    """A second network at home that the configuration names"""
    look_up(c)
    c.session(1, PC, "10.9.8.7", 80, [(">", b"GET / HTTP/1.0\r\n\r\n"), ("<", b"HTTP/1.0 200 OK\r\n\r\nhi")])


@case()
def other_network_source(c):
    """A device with an address of another network talks to a computer at home

    As a misconfigured camera does, or one who guesses."""
    look_up(c)
    c.session(1, "10.9.8.7", PC, 80, [(">", b"GET / HTTP/1.0\r\n\r\n"), ("<", b"HTTP/1.0 200 OK\r\n\r\nhi")])


@case()
def changing_address(c):
    """A device takes another address by itself and goes on"""
    look_up(c)
    c.https(1, PC, OUT, "www.shop.example")
    for n in range(3):
        c.udp(30 + n, "192.168.60.77", 41_000 + n, OUT, 123, b"\x23" + b"\x00" * 47, src_mac=mac(PC))


@case(near={"device_changing_ip": "one device with addresses of both IP versions, and a second device with another address"})
def changing_address_not(c):
    """A computer uses IPv4 and IPv6, and a television comes online"""
    look_up(c)
    c.https(1, PC, OUT, "www.shop.example")
    c.https(2, "fd60::a", "2001:67c::7", "www.shop.example")
    c.https(3, TV, OUT, "www.shop.example")


@case(log=Zeek)
def long_connection(z):
    """A connection of 26 minutes"""
    z.conn(0, PC, OUT, 443, duration=1560, service="ssl", sent=4000, got=9000)


@case(log=Zeek, near={"long_connection": "24 min 59 s; 25 minutes make it long. A group of many is no connection"})
def long_connection_not(z):
    """A connection of almost 25 minutes, and a television's stream to a group for an hour"""
    z.conn(0, PC, OUT, 443, duration=1499, service="ssl", sent=4000, got=9000)
    z.conn(0, TV, "239.1.1.1", 5004, proto="udp", duration=3600, sent=900_000, got=0, state="S0", history="D")


@case(log=Zeek, conf="""
      [longconnections]
      long_connection_threshold = 600
      """)
def long_connection_threshold(z):
    """A connection of 12 minutes where the owner has said that 10 are long"""
    z.conn(0, PC, OUT, 443, duration=720, service="ssl", sent=4000, got=9000)


@case(log=Zeek, info=["data_upload"])
def upload_at_once(z):
    """A computer sends 150 MB in one connection"""
    z.conn(0, PC, OUT, 443, duration=300, service="ssl", sent=150_000_000, got=200_000)


@case(log=Zeek, info=["data_upload"])
def upload_in_parts(z):
    """A computer sends 600 MB to one server in an hour, 60 MB at a time"""
    for n in range(10):
        z.conn(300 * n, PC, OUT, 443, duration=100, service="ssl", sent=60_000_000, got=200_000)


@case(log=Zeek, near={"data_upload": "99 MB at once and 400 MB to one server; the other 400 MB go to another one"})
def upload_not(z):
    """Uploads below the limits, and a film that is watched"""
    for n in range(4):
        z.conn(600 * n, PC, OUT, 443, duration=100, service="ssl", sent=99_000_000, got=200_000)
        z.conn(600 * n + 200, PC, "128.66.7.8", 443, duration=100, service="ssl", sent=99_000_000, got=200_000)
    z.conn(2500, TV, OUT, 443, duration=900, service="ssl", sent=900_000, got=3_000_000_000)


def past(z, days, usual):
    rng = random.Random(5)
    for hour in range(24 * days):
        z.conn(3600 * hour + rng.randrange(3000), PC, f"128.66.70.{rng.randrange(1, 200)}", 443, duration=60, service="ssl", sent=int(usual * rng.uniform(0.5, 2)), got=900_000)


@case(log=Zeek)
def exfiltration(z):
    """A computer that sends 2 MB an hour for two days, then 300 MB in one hour, to several servers"""
    past(z, 2, 2_000_000)
    for n in range(4):
        z.conn(3600 * 48 + 600 * n, PC, f"128.66.8.{n + 1}", 443, duration=300, service="ssl", sent=75_000_000, got=40_000)


@case()
def beacon_late(c):
    """A computer that is known for more than a day begins to contact an address every 10 minutes"""
    for n in range(30):
        c.session(3600 * n + c.random.uniform(0, 3000), PC, f"128.66.70.{n + 1}", 8443, [(">", c.random.randrange(100, 900)), ("<", 90)])
    for n in range(40):
        c.session(108_000 + 600 * n + c.random.uniform(0, 9), PC, "128.66.50.1", 8443, [(">", 180), ("<", 90)])


@case(log=Zeek)
def beacon_habit(z):
    """A plug reports to its maker's cloud every 10 minutes, for three days

    In the first hours it might be anything, and is told; what has gone on for a day is a habit, and stays low."""
    for n in range(6 * 72):
        z.conn(600 * n + n % 3, TV, "128.66.50.1", 8883, service="ssl", sent=220, got=180)


@case(log=Zeek, near={"exfiltration": "110 MB are more than ever before, but not by much for a host that sends 45 MB in most hours"})
def exfiltration_usual(z):
    """A host that uploads much every hour"""
    past(z, 2, 45_000_000)
    for n in range(2):
        z.conn(3600 * 48 + 600 * n, PC, f"128.66.8.{n + 1}", 443, duration=300, service="ssl", sent=55_000_000, got=40_000)


@case()
def unknown_port(c):
    """A computer connects to port 31337, which no known program uses"""
    look_up(c)
    c.session(1, PC, OUT, 31337, [(">", b"id\n"), ("<", b"uid=0(root)\n")])


@case(near={"unknown_port": "8883 and 5223 are no ports of browsers, but known ones: MQTT over TLS and Apple's push; a call uses UDP above 30000"})
def unknown_port_not(c):
    """Push messages, MQTT over TLS, and a call with UDP to many high ports"""
    look_up(c)
    c.https(1, PC, OUT, "push.shop.example", port=5223)
    c.https(2, PC, OUT, "mqtt.shop.example", port=8883)
    for n in range(8):
        for turn in range(3):
            c.ask(10 + n + turn / 10, PC, f"128.66.9.{n + 1}", 41_000 + 11 * n, b"\x80" * 160, b"\x80" * 160, sport=50_002)


@case(log=Zeek)
def neighbours_new(z):
    """A computer that has been quiet for two days logs in to four neighbours"""
    past(z, 2, 20_000)
    for n in range(4):
        z.conn(3600 * 48 + 60 * n, PC, f"192.168.60.{30 + n}", 445, sent=4000, got=8000)


@case(log=Zeek, near={"lateral_movement": "the same four neighbours, which it has administered for two days, and two new ones"})
def neighbours_known(z):
    """An administrator's computer that logs in to four hosts each hour, and then to two more"""
    for hour in range(48):
        for n in range(2):
            z.conn(3600 * hour + 60 * n, PC, f"192.168.60.{30 + n + 2 * (hour % 2)}", 22, service="ssh", sent=4000, got=8000)
    for n in range(2):
        z.conn(3600 * 48 + 60 * n, PC, f"192.168.60.{40 + n}", 22, service="ssh", sent=4000, got=8000)


@case()
def iot_botnet(c):
    """A camera tries telnet of 40 addresses and then keeps a connection to its master

    As Mirai and its descendants do: spread first, then wait for orders."""
    for n in range(40):
        c.attempt(n / 4, TV, f"128.66.{n + 20}.{3 * n + 1}", 23 if n % 4 else 2323)
    talk = [(">", b"\x00\x00\x00\x01")]
    for _ in range(7):
        talk += [60.0, (">", b"\x00\x00"), ("<", b"\x00\x00")]
    c.session(20, TV, "128.66.99.9", 48101, talk, end=None)


@case(near={"iot_botnet": "two neighbours lack of the ten that make a sweep; and the second device swept, but talks to its cloud only"})
def iot_botnet_not(c):
    """A camera that looks for eight neighbours in vain, and a scanner that is at home in a cloud"""
    for n in range(8):
        c.attempt(n, TV, f"192.168.60.{100 + n}", 23)
    c.session(20, TV, "128.66.99.9", 48101, [(">", 9), 400.0, (">", 9), ("<", 9)])
    for n in range(12):
        c.attempt(500 + n, PC, f"192.168.60.{100 + n}", 22)
    c.session(520, PC, "128.66.99.9", 443, [(">", 300), 400.0, (">", 9), ("<", 9)])


@case()
def beacon_hours(c):
    """A request of the same size every 5 minutes for 11 hours, with a jitter of 4 s"""
    for n in range(132):
        t = 300 * n + c.random.uniform(0, 4)
        c.session(t, PC, "128.66.50.1", 8443, [(">", 180), ("<", 90)])


@case(near={"beacon": "contacts with a person's pauses, two hundred of them over a day; and clock, leases and discovery, which are regular in every home"})
def beacon_not(c):
    """A person who reads one web site all day, and a home's clockwork: time, discovery, checks for being online"""
    look_up(c)
    t = 10.0
    for _ in range(120):
        t += c.random.expovariate(1 / 400)
        c.session(t, PC, OUT, 8080, [(">", c.random.randrange(100, 900)), ("<", 80)])
    for n in range(60):
        c.ask(64 * n, TV, "128.66.3.3", 123, b"\x23" + b"\x00" * 47, b"\x24" + b"\x00" * 47, sport=123)
        c.udp(120 * n + 1, TV, 1900, "239.255.255.250", 1900, b"NOTIFY * HTTP/1.1\r\n\r\n")
    c.dns(5, TV, "detectportal.firefox.com", ["128.66.3.4"])
    for n in range(60):
        c.http(300 * n + 6, TV, "128.66.3.4", "detectportal.firefox.com", "/success.txt")


@case()
def mining_pool(c):
    """A computer works for a mining pool for 10 minutes"""
    c.whois(0, PC, ROUTER)
    c.dns(0.1, PC, "pool.supportxmr.com", [OUT])
    talk = [(">", b'{"id":1,"jsonrpc":"2.0","method":"login","params":{"login":"x","pass":"x","agent":"miner"}}\n'), ("<", b'{"id":1,"jsonrpc":"2.0","error":null,"result":{"status":"OK"}}\n')]
    for _ in range(10):
        talk += [60.0, ("<", b'{"jsonrpc":"2.0","method":"job","params":{}}\n')]
    c.session(1, PC, OUT, 3333, talk)


@case(near={"crypto_mining": "a pool's web page is read, its name is asked for, a connection of 59 s is too short"})
def mining_pool_page(c):
    """Somebody reads a pool's web page and checks that its port is open"""
    c.whois(0, PC, ROUTER)
    c.dns(0.1, PC, "pool.supportxmr.com", [OUT])
    c.https(1, PC, OUT, "pool.supportxmr.com")
    c.session(20, PC, OUT, 3333, [(">", 5), 57.0, ("<", 5)])


@case(log=Eve)
def signature(e):
    """Suricata's signature of a trojan fires"""
    e.add(1, "alert", PC, OUT, port=8080, flow={"pkts_toserver": 3, "pkts_toclient": 2, "bytes_toserver": 300, "bytes_toclient": 200, "start": "2023-11-14T23:00:01.000000+0000"},
          alert={"action": "allowed", "gid": 1, "signature_id": 2000001, "rev": 3, "signature": "LOCAL trojan checks in", "category": "A Network Trojan was detected", "severity": 1})


@case(log=Eve, near={"ids_signature": "Suricata writes an alert for packets that look odd to its decoder as well: no attack, told at level info only"})
def signature_odd_packet(e):
    """A connection without signature"""
    e.add(1, "flow", PC, OUT, port=443, app_proto="tls", flow={"pkts_toserver": 5, "pkts_toclient": 5, "bytes_toserver": 700, "bytes_toclient": 900,
          "start": "2023-11-14T23:00:01.000000+0000", "end": "2023-11-14T23:00:02.000000+0000", "age": 1, "state": "closed", "reason": "timeout", "alerted": False},
          tcp={"tcp_flags": "1b", "syn": True, "fin": True, "psh": True, "ack": True, "state": "closed"})


def inside_gre(c, t, src, dst, inner_src, inner_dst, kind):
    """A ping inside GRE."""
    body = struct.pack("!BBHHH", kind, 0, 0, 7, 1) + b"\x00" * 48
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    a, b = ipaddress.ip_address(inner_src), ipaddress.ip_address(inner_dst)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0x4000, 64, 1, 0) + a.packed + b.packed
    c.ip(t, src, dst, 47, b"\x00\x00\x08\x00" + head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body)


@case(near={"different_localnet": "the addresses inside the tunnel are those of another network"})
def gre_tunnel(c):
    """A computer keeps a GRE tunnel to a host outside and pings through it"""
    for n in range(5):
        inside_gre(c, n, PC, OUT, "172.31.8.2", "172.31.8.1", 8), inside_gre(c, n + 0.03, OUT, PC, "172.31.8.1", "172.31.8.2", 0)


@case()
def gre_sweep(c):
    """A computer looks for GRE tunnels at 12 hosts, of which none answers"""
    for n in range(12):
        for again in range(2):
            inside_gre(c, n + again / 5, PC, f"128.66.8.{n + 1}", "172.31.8.2", "172.31.8.1", 8)


@case(near={"gre_tunnel": "nobody answers: GRE packets go one way only", "gre_scan": "one host is tried, and no source says that a tunnel was found"})
def gre_one_way(c):
    """GRE packets that nobody answers"""
    for n in range(4):
        c.ip(n, PC, OUT, 47, b"\x00\x00\x08\x00" + b"\x45" + b"\x00" * 59)


@case(log=Zeek)
def gre_scan(z):
    """Zeek discovers a GRE tunnel"""
    ends = z.conn(0, PC, OUT, 0, proto="unknown_transport", sport=0, state="OTH", history="", duration=0.1)
    z.add("tunnel", 0.05, **ends, tunnel_type="Tunnel::GRE", action="Tunnel::DISCOVER")


@case()
def arp_outside(c):
    """A computer asks by ARP for an address of another network"""
    look_up(c)
    for n in range(3):
        c.arp(1 + n, 1, PC, "10.9.8.7")


@case(near={"arp_outside_localnet": "addresses that are configured by themselves, and another one of the home's range"})
def arp_outside_not(c):
    """A computer asks by ARP for a printer without DHCP and for a neighbour that is away"""
    look_up(c)
    for n in range(3):
        c.arp(1 + n, 1, PC, "169.254.7.7")
        c.arp(2 + n, 1, PC, "192.168.61.9")


@case(near={"arp_scan": "four addresses in vain, again and again; five make a scan. The router may ask for everybody",
            "unsolicited_arp": "the announcements are requests (RFC 5227), as every computer sends when it comes online"})
def arp_quiet(c):
    """A home's ARP: four neighbours that are away, a computer that comes online, the router that asks for all"""
    c.dns(0, PC, "www.shop.example", [OUT])
    for n in range(40):
        c.arp(1 + n / 4, 1, PC, f"192.168.60.{100 + n % 4}")
    for n in range(3):
        c.arp(20 + n, 1, "0.0.0.0", PC, sender_mac=b"\x02\x60\x00\x00\x00\x0a")
    for n in range(2):
        c.arp(25 + 2 * n, 1, PC, PC)
    c.https(28, PC, OUT, "www.shop.example")
    for n in range(20):
        c.arp(30 + n, 1, ROUTER, f"192.168.60.{10 + n}")


@case()
def arp_unsolicited(c):
    """A device announces an address to everybody with replies that nobody asked for"""
    for n in range(3):
        c.arp(n, 2, TV, TV, target_mac=b"\xff" * 6)


@case(info=["p2p_traffic"])
def torrent(c):
    """A computer talks from one UDP port with 25 hosts on as many ports"""
    for n in range(25):
        c.ask(n, PC, f"128.66.{n + 10}.{n + 1}", 6881 + 137 * n, b"d1:ad2:id20:" + b"x" * 60, b"d1:rd2:id20:" + b"y" * 80, sport=51413)


@case(near={"p2p_traffic": "many hosts from one port, but one port of theirs; and 40 name servers, each asked from a port of its own"})
def torrent_not(c):
    """A game's server list, and a resolver that asks many name servers"""
    for n in range(25):
        c.ask(n, PC, f"128.66.{n + 10}.{n + 1}", 27015, b"\xff\xff\xff\xffTSource Engine Query\x00", b"\xff\xff\xff\xffI" + b"y" * 60, sport=27005)
    for n in range(40):
        c.dns(100 + n, PC, f"host{n}.shop.com", ["128.66.7.8"], server=f"128.66.{n + 60}.53")


def usual(z, hours, busy=1):
    """A television: some of many servers of its maker, each hour. Returns when the last hour ends."""
    rng = random.Random(9)
    for hour in range(hours):
        for n in range(rng.randrange(8 * busy, 14 * busy)):
            ends = z.conn(3600 * hour + 20 + rng.randrange(3500), TV, f"128.66.71.{rng.randrange(1, 250)}", 443, service="ssl", sent=900, got=40_000)
            z.add("ssl", 3600 * hour + 20, **ends, version="TLSv13", cipher="TLS_AES_128_GCM_SHA256", server_name=f"c{rng.randrange(400)}.maker.com", resumed=False, established=True, ja4="t13d1516h2_8daaf6152771_02713d6af862")
    return 3600 * hours


@case(log=Zeek)
def unlike_own_past(z):
    """A television that has talked to a dozen servers an hour for 30 hours contacts 90 hosts in the next, half of them in vain, and sends 60 MB"""
    t = usual(z, 30)
    for n in range(90):
        failed = n % 2
        z.conn(t + 30 * n, TV, f"128.66.{n + 80}.7", 4000 + n % 2, **({"state": "S0", "sent": 0, "got": 0, "history": "S", "duration": 0.0} if failed else {"service": "ssl", "sent": 1_400_000, "got": 4000}))


@case(log=Zeek, near={"unlike_own_past": "more than ever before, but not twice as much"})
def unlike_own_past_not(z):
    """A television on a long evening: 36 hosts in an hour instead of 27 at most"""
    t = usual(z, 30, busy=2)
    for n in range(40):
        z.conn(t + 60 * n, TV, f"128.66.{n % 36 + 80}.7", 443, service="ssl", sent=1400, got=900_000)


@case(info=["new_device"])
def device_new(c):
    """A device comes into a network that has been watched for 30 hours"""
    for n in range(30):
        c.whois(3600 * n, PC, ROUTER), c.https(3600 * n + 1, PC, OUT, "www.shop.com", version="1.3")
    c.whois(108_000, TV, ROUTER), c.https(108_001, TV, OUT, "www.shop.com", version="1.3")


@case(near={"new_device": "it comes 23 hours after the traffic began; a day is needed to know who lives here"})
def device_first_day(c):
    """A device that is switched on in the evening of the first day"""
    for n in range(30):
        c.whois(3600 * n, PC, ROUTER), c.https(3600 * n + 1, PC, OUT, "www.shop.com", version="1.3")
    c.whois(82_800, TV, ROUTER), c.https(82_801, TV, OUT, "www.shop.com", version="1.3")
