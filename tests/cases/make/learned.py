"""Cases of modules that decide by models; slips.conf names the models that come with the product, `flows.safetensors` is made from other cases."""
import os, subprocess

from case import CASES, case
from net import PC

CHANNEL, SHOP = "128.66.50.9", "128.66.7.7"
LETTERS = "[models]\nletters = ../../../models/cc-letters.safetensors"
CHAINS = "[models]\nbehaviour = ../../../models/behaviour"
FOREST = "[models]\nflows = lists/flows.safetensors"


def polls(c, step=30.0, jitter=6.0):
    """A program asks its controller for orders over TLS: small, alike, without end."""
    c.dns(0.5, PC, "cdn.evil-place.com", [CHANNEL])
    t = 1.0
    while t < 3500:
        c.https(t, PC, CHANNEL, "cdn.evil-place.com", sent=220 + c.random.randrange(0, 30), got=160 + c.random.randrange(0, 20))
        t += step + c.random.uniform(-jitter, jitter)


def reads(c):
    """A person reads a shop's pages, with pauses and sizes of every kind."""
    c.dns(0.5, PC, "www.shop.com", [SHOP])
    t = 1.0
    while t < 3500:
        c.https(t, PC, SHOP, "www.shop.com", sent=c.random.randrange(200, 4000), got=c.random.randrange(500, 60_000), version="1.3")
        t += c.random.choice([0.3, 0.8, 2, 5, 20, 70, 180, 400]) * c.random.uniform(0.5, 1.5)


@case(conf=LETTERS, snap=200)
def channel_letters(c):
    """A program asks its controller for orders every half minute, and the letters model is named"""
    polls(c)


@case(conf=LETTERS, snap=200, near={"command_and_control_channel": "as many contacts with one server, by a person"})
def channel_letters_not(c):
    """A person reads one shop's pages for an hour, and the letters model is named"""
    reads(c)


@case(conf=CHAINS, snap=200)
def channel_chains(c):
    """A program asks its controller for orders every half minute, and the behaviour models are named"""
    polls(c)


@case(conf=CHAINS, snap=200, near={"malicious_behaviour_model": "as many contacts with one server, by a person"})
def channel_chains_not(c):
    """A person reads one shop's pages for an hour, and the behaviour models are named"""
    reads(c)


# The truth of a few other cases: what a forest can be made of.
TRUTH = """\
train	ports	nmap-ports/capture.pcap.gz	flows	*	-
train	hour	hour-at-home/capture.pcap.gz	flows	-	*
validate	port-445	masscan-445/capture.pcap	flows	*	-
validate	pages	curl-pages/capture.pcap.gz	flows	-	*
test	few	nmap-few/capture.pcap	flows	*	-
test	mail	swaks-refused/capture.pcap	flows	-	*
"""


def forest(name):
    """Makes the forest with the product itself, `slips train flows`."""
    lists = os.path.join(CASES, name, "lists")
    os.makedirs(lists, exist_ok=True)
    truth = os.path.join(lists, "flows.tsv")
    with open(truth, "w") as f:
        f.write("# split	name	path	kind	malicious	benign\n" + TRUTH)
    slips = os.environ.get("SLIPS", os.path.join(CASES, "../../target/debug/slips"))
    out = os.path.join(lists, "flows.safetensors")
    if not os.path.exists(out):
        subprocess.run([slips, "train", "--data", truth, "--root", CASES, "--out", out, "flows"], check=True, stdout=subprocess.DEVNULL)


@case(conf=FOREST, snap=200)
def flows_forest(c):
    """A computer tries ten ports, and a forest made of labelled flows is named"""
    forest("flows-forest")
    for port in range(7001, 7011):
        c.attempt(port - 7000, PC, CHANNEL, port)


@case(conf=FOREST, snap=200, near={"malicious_flow": "ordinary pages, and a forest that knows such flows as harmless"})
def flows_forest_not(c):
    """A person reads a shop's pages, and a forest made of labelled flows is named"""
    forest("flows-forest-not")
    reads(c)
