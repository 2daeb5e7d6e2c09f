"""Cases of what is known from elsewhere: feeds, databases of networks, services that are asked."""
import datetime, json

from case import Zeek, case
from names import LISTS
from net import PC, ROUTER, START, handshake
from web import OUT, look_up

URLS = """
    "http://www.shop.com/files/a%20b.exe","high","a dropper"
    "http://128.66.7.7:8080/x","high","a dropper"
"""


@case(conf=LISTS, lists={"urls.csv": URLS})
def listed_url(c):
    """A program asks for a listed URL, which is written in another way"""
    look_up(c)
    c.http(1, PC, OUT, "WWW.shop.com", "/files/a%20b.exe")


@case(conf=LISTS, lists={"urls.csv": URLS},
      near={"threat_intelligence_malicious_url": "another file of the folder, the same path of another host, and a listed one without its port"})
def listed_url_nearly(c):
    """Pages beside the listed ones"""
    look_up(c)
    c.http(1, PC, OUT, "www.shop.com", "/files/a%20b.zip"), c.http(2, PC, OUT, "shop.com", "/files/a%20b.exe"), c.http(3, PC, OUT, "128.66.7.7", "/x")


FED = """
    [update]
    data_folder = data
    feeds = feeds.csv
"""
FEEDS = """
    Exits,SERVER/exits,tor,info,24,,https://exits.test/
    Resolvers by name,SERVER/names,doh,info,24,,
    Resolvers by address,SERVER/addresses,doh,info,24,,
"""
SERVED = """
    GET /exits "128.66.9.9\\n128.66.9.11\\n"
    GET /names "# names\\ndns.hidden.com\\n"
    GET /addresses "128.66.9.53\\n"
"""


@case(conf=FED, more={"feeds.csv": FEEDS, "services": SERVED}, info=["tor_exit_node", "dns_over_https"])
def tor_and_hidden_names(c):
    """A computer connects to an exit of Tor, and asks for names by HTTPS, of a server that is listed by name and of one by address"""
    look_up(c), c.dns(0.1, PC, "dns.hidden.com", ["128.66.9.1"]), c.dns(0.2, PC, "other.com", ["128.66.9.53"])
    c.session(1, PC, "128.66.9.9", 9001, handshake("www.something.com"))
    c.https(2, PC, "128.66.9.1", "dns.hidden.com"), c.https(3, PC, "128.66.9.53", "other.com")


@case(conf=FED, more={"feeds.csv": FEEDS, "services": SERVED},
      near={"tor_exit_node": "the address between two exits", "dns_over_https": "a name below the listed one, and the listed address by DNS over TLS"})
def tor_and_hidden_names_nearly(c):
    """An address between two exits of Tor, a name below that of a resolver, and DNS over TLS, which does not hide that it is DNS"""
    look_up(c), c.dns(0.1, PC, "www.dns.hidden.com", ["128.66.9.1"]), c.dns(0.2, PC, "other.com", ["128.66.9.53"]), c.dns(0.3, PC, "third.com", ["128.66.9.10"])
    c.https(1, PC, "128.66.9.10", "third.com"), c.https(2, PC, "128.66.9.1", "www.dns.hidden.com"), c.https(3, PC, "128.66.9.53", "other.com", port=853)


PLACED = LISTS + """
    [geoip]
    databases = places.mmdb
"""
PLACES = """
    128.66.8.0/24 39770 Bad Hosting
    128.66.7.0/24 39771 Good Hosting
"""


@case(conf=PLACED, lists={"own.csv": "AS39770,high,a network of criminals"}, more={"places": PLACES})
def listed_network(c):
    """A computer connects to an address of an autonomous system that is listed by its number"""
    look_up(c, addr="128.66.8.200")
    c.https(1, PC, "128.66.8.200", "www.shop.com")


@case(conf=PLACED, lists={"own.csv": "AS39770,high,a network of criminals"}, more={"places": PLACES},
      near={"threat_intelligence_blacklisted_asn": "the next number, and an address of which no database knows the network"})
def listed_network_nearly(c):
    """Addresses of the autonomous system with the next number, and of none"""
    look_up(c), c.dns(0.1, PC, "other.com", ["128.66.10.1"])
    c.https(1, PC, OUT, "www.shop.com"), c.https(2, PC, "128.66.10.1", "other.com")


ASKING = """
    [privacy]
    ask = yes
    reverse_dns = no
    public_address = no
    rdap_server = SERVER/rdap
    urlhaus = yes
    urlhaus_server = SERVER/urlhaus
    hashlookup = yes
    hashlookup_server = SERVER/hashlookup
    spamhaus = yes
    resolver = RESOLVER
"""


def registered(days, holder="REDACTED FOR PRIVACY"):
    """RDAP of a domain that was registered so many days before the traffic."""
    date = datetime.datetime.fromtimestamp(START - 86_400 * days, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    card = lambda name: ["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", name]]]
    entities = [{"roles": ["registrar"], "vcardArray": card("Cheap Names")}, {"roles": ["registrant"], "vcardArray": card(holder)}]
    return json.dumps({"events": [{"eventAction": "registration", "eventDate": date}], "entities": entities}, separators=(",", ":"))


@case(conf=ASKING, more={"services": f"GET /rdap/domain/shop.com {registered(59)}"}, info=["young_domain"])
def young_domain(c):
    """A computer asks for a domain that is 59 days old"""
    look_up(c)
    c.https(1, PC, OUT, "www.shop.com")


@case(conf=ASKING, more={"services": f"GET /rdap/domain/shop.com {registered(61)}"}, near={"young_domain": "the domain is 61 days old, that of the other one is not known"})
def young_domain_not(c):
    """A computer asks for a domain that is 61 days old, and for one that no registry knows"""
    look_up(c), c.dns(0.1, PC, "www.other.com", [OUT])
    c.https(1, PC, OUT, "www.shop.com")


def owners(one, other):
    return {"services": f"GET /rdap/domain/shop.com {registered(3000, one)}\n    GET /rdap/domain/other.com {registered(3000, other)}"}


@case(conf=ASKING, more=owners("Shop Company", "Somebody Else"))
def certificate_of_another_registrant(c):
    """A server shows the certificate of a name that belongs to somebody else, by the registries"""
    look_up(c)
    c.session(1, PC, OUT, 443, handshake("www.shop.com", subject="/CN=other.com"))


@case(conf=ASKING, more=owners("Shop Company", "The shop company Ltd"), near={"cn_registrant_mismatch": "the registrants share a word of their name"})
def certificate_of_same_registrant(c):
    """A server shows the certificate of another name that belongs to the same company, by the registries"""
    look_up(c)
    c.session(1, PC, OUT, 443, handshake("www.shop.com", subject="/CN=other.com"))


def download(z, port=80, uri="/a.zip", **hashes):
    ends = z.conn(0, PC, OUT, port, service="http")
    z.add("http", 0.1, **ends, method="GET", host="www.shop.com", uri=uri, user_agent="Mozilla/5.0 (X11; Linux x86_64)", status_code=200, resp_mime_types=["application/zip"])
    z.add("files", 0.2, fuid="F1", **ends, source="HTTP", mime_type="application/zip", filename="a.zip", seen_bytes=900, is_orig=False, local_orig=False,
          tx_hosts=[OUT], rx_hosts=[PC], **hashes)


BAD, FINE = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
KNOWN = f"""
    POST /urlhaus/v1/url/ url=http%3A%2F%2Fwww.shop.com%2Fa.zip {{"query_status":"ok","threat":"malware_download","urlhaus_reference":"https://urlhaus.abuse.ch/url/1/"}}
    POST /urlhaus/v1/payload/ md5_hash={BAD} {{"query_status":"ok","signature":"Mirai","virustotal":{{"percent":"45.00"}}}}
    GET /hashlookup/lookup/md5/{BAD} {{"KnownMalicious":"one.csv, two.csv","hashlookup:trust":30}}
    GET /hashlookup/lookup/md5/{FINE} {{"FileName":"a.zip","hashlookup:trust":90}}
    POST /urlhaus/v1/url/ url=http%3A%2F%2Fwww.shop.com%2Fb.zip {{"query_status":"no_results"}}
    POST /urlhaus/v1/payload/ md5_hash={FINE} {{"query_status":"no_results"}}
"""


@case(log=Zeek, conf=ASKING, more={"services": KNOWN})
def download_known_to_services(z):
    """A download whose URL and file are known to services"""
    download(z, md5=BAD)


@case(log=Zeek, conf=ASKING, more={"services": KNOWN},
      near={"urlhaus_malicious_url": "the service knows another file of the host", "malicious_file_by_service": "one service does not know the file, the other knows it as harmless"})
def download_known_as_harmless(z):
    """A download that one service does not know and another one knows as harmless"""
    download(z, uri="/b.zip", md5=FINE)


ZONE = """
    DNS 5.5.66.128.zen.spamhaus.org 127.0.0.4
    DNS 6.5.66.128.zen.spamhaus.org 127.0.0.10
"""


@case(conf=ASKING, more={"services": ZONE})
def visitor_in_a_zone(c):
    """A host that Spamhaus knows as part of a botnet connects to a computer at home"""
    c.session(0, "128.66.5.5", PC, 8080, [(">", 100), ("<", 100)])


@case(conf=ASKING, more={"services": ZONE}, near={"spamhaus_listed_ip": "one is listed only as dial-up, the other one not at all"})
def visitor_of_a_provider(c):
    """A host that Spamhaus knows only as somebody's line, and one that it does not know, connect to a computer at home"""
    c.session(0, "128.66.5.6", PC, 8080, [(">", 100), ("<", 100)]), c.session(1, "128.66.5.7", PC, 8080, [(">", 100), ("<", 100)])


@case(conf=LISTS + """
    [detection]
    evidence_detection_threshold = 0.01
""", lists={"own.csv": '"128.66.5.77","critical","a botnet\'s server"'})
def listed_address_goes_on(c):
    """A host that is listed as a botnet's server connects to a computer at home and stays for ten minutes: it is told, and blocked, long before the end"""
    c.whois(0, PC, ROUTER)
    c.session(1, "128.66.5.77", PC, 8080, [step for _ in range(300) for step in ((">", 10), 1.99)])
