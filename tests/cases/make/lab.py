"""Cases recorded from real tools in network namespaces: a computer (pc), a television (tv) and a router (gw) on one bridge.

pc is 192.168.60.10, tv 192.168.60.20, gw 192.168.60.1; gw also answers as every address of 128.66.0.0/16, which plays the internet,
and drops what goes to 128.67.0.0/16, where nobody is. Nothing leaves the namespaces. Addresses, MACs and names are fixed;
times and ephemeral ports are those of the run. Needs root and Debian's packages of the tools named in TOOLS. Run by `make/run`.
"""
import gzip, inspect, os, random, shutil, signal, struct, subprocess, sys, tempfile, time

from case import CASES, seed, write
from net import START

TOOLS = {
    "ip": "iproute2", "tcpdump": "tcpdump", "editcap": "wireshark-common", "nmap": "nmap", "masscan": "masscan", "hping3": "hping3", "arping": "arping", "arpspoof": "dsniff",
    "fping": "fping", "hydra": "hydra", "iodine": "iodine", "dns2tcpc": "dns2tcp", "curl": "curl", "openssl": "openssl", "dnsmasq": "dnsmasq-base", "sshd": "openssh-server",
    "ssh": "openssh-client", "vsftpd": "vsftpd", "nc": "netcat-openbsd", "busybox": "busybox", "dig": "bind9-dnsutils", "swaks": "swaks", "tor": "tor", "ncrack": "ncrack", "mosquitto": "mosquitto", "mosquitto_sub": "mosquitto-clients", "wget": "wget",
}
W = tempfile.mkdtemp(prefix="slips-lab-")
PC, TV, GW = "slips-lab-pc", "slips-lab-tv", "slips-lab-gw"
OUT = "128.66.7.7"
REGISTRY, running = [], []


def case(info=(), near=None, snap=65_535, at=PC, filter="", hour=False):
    """`hour`: the pauses are stretched, so that the recording takes an hour."""

    def register(play):
        REGISTRY.append((play.__name__.replace("_", "-"), play, info, near or {}, snap, at, filter, hour))
        return play
    return register


def sh(line, check=True):
    done = subprocess.run(line, shell=True, capture_output=True, text=True, errors="replace")
    if check and done.returncode:
        raise SystemExit(f"{line}\n{done.stdout}{done.stderr}")
    return done.stdout


def inside(name, line, check=False, limit=60):
    """Runs a command in a namespace and waits for it; most tools end with an error where a log-in fails."""
    return sh(f"timeout {limit} ip netns exec {name} {line} 2>&1 </dev/null", check)


def serve(line, name=GW, wait=0.7):
    """Starts a server that runs to the end of the case."""
    running.append(subprocess.Popen(f"exec ip netns exec {name} {line}", shell=True, stdin=subprocess.DEVNULL, stdout=open(W + "/servers.log", "a"), stderr=subprocess.STDOUT, start_new_session=True))
    time.sleep(wait)
    return running[-1]


def stop():
    while running:
        process = running.pop()
        try:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            process.kill()


def build():
    for name in (PC, TV, GW):
        sh(f"ip netns add {name}; ip -n {name} link set lo up; ip netns exec {name} sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
    sh(f"ip -n {GW} link add br0 address 02:60:00:00:00:01 type bridge; ip -n {GW} addr add 192.168.60.1/24 dev br0; ip -n {GW} link set br0 up")
    for name, last in ((PC, 10), (TV, 20)):
        sh(f"ip link add eth0 netns {name} address 02:60:00:00:00:{last:02x} type veth peer name to{last} netns {GW}; ip -n {GW} link set to{last} master br0 up")
        sh(f"ip -n {name} addr add 192.168.60.{last}/24 dev eth0; ip -n {name} link set eth0 up; ip -n {name} route add default via 192.168.60.1")
    sh(f"ip -n {GW} route add local 128.66.0.0/16 dev lo; ip netns exec {GW} sysctl -qw net.ipv4.ip_forward=0 net.ipv4.icmp_ratelimit=0")
    sh(f"mkdir -p /etc/netns/{PC}; echo 'nameserver 192.168.60.1' >/etc/netns/{PC}/resolv.conf")
    with open(W + "/index.html", "w") as page:
        page.write("<html><body>hello</body></html>")


def remove():
    stop()
    for name in (PC, TV, GW):
        for pid in sh(f"ip netns pids {name}", False).split():
            os.kill(int(pid), signal.SIGKILL)
        sh(f"ip netns del {name}", False)
    sh(f"rm -rf /etc/netns/{PC}", False)
    shutil.rmtree(W, ignore_errors=True)


def stretched(data, seconds=3500):
    """The same packets with longer pauses: what follows within 0.15 s keeps its distance, longer gaps grow by one factor."""
    packets, at = [], 24
    while at + 16 <= len(data):
        second, micro, kept, size = struct.unpack_from("<IIII", data, at)
        packets.append((second * 1_000_000 + micro, kept, size, data[at + 16 : at + 16 + kept]))
        at += 16 + kept
    gaps = [max(0, now[0] - before[0]) for before, now in zip(packets, packets[1:])]
    pauses = sum(gap for gap in gaps if gap >= 150_000)
    factor = (seconds * 1_000_000 - sum(gap for gap in gaps if gap < 150_000)) / pauses
    out, t = [data[:24]], START * 1_000_000 + 10_000_000
    for gap, (_, kept, size, packet) in zip([0, *gaps], packets):
        t += round(gap * factor) if gap >= 150_000 else gap
        out.append(struct.pack("<IIII", t // 1_000_000, t % 1_000_000, kept, size) + packet)
    return b"".join(out)


def record(name, play, info, near, snap, at, filter, hour):
    folder, raw = os.path.join(CASES, name), f"{W}/{name}.pcap"
    os.makedirs(folder, exist_ok=True)
    for entry in os.listdir(folder):
        if entry != "expected":
            os.remove(os.path.join(folder, entry))
    for host in (PC, TV, GW):
        sh(f"ip -n {host} neigh flush all", False)
    dump = subprocess.Popen(["ip", "netns", "exec", at, "tcpdump", "-q", "-i", "eth0", "-s", str(snap), "-U", "-w", raw, filter], stderr=subprocess.PIPE, text=True)
    while "listening" not in dump.stderr.readline():
        pass
    play()
    time.sleep(1)
    dump.send_signal(signal.SIGINT)
    dump.wait()
    stop()
    data = open(raw, "rb").read()
    if hour:
        data = stretched(data)
    path = os.path.join(folder, "capture.pcap")
    if len(data) > 20_000:
        path, data = path + ".gz", gzip.compress(data, 9, mtime=0)
    with open(path, "wb") as f:
        f.write(data)
    write(folder, "README.md", f"# {inspect.cleandoc(play.__doc__)}\n\nRecorded from the tools themselves by `make/lab.py`, function `{play.__name__}`.\n")
    seed(folder, info, near)
    print(name, len(data))


NAMES = "--address=/shop.com/128.66.7.7 --address=/google.com/128.66.7.9 --address=/detectportal.firefox.com/128.66.3.4"


def names(extra=""):
    return serve(f"dnsmasq --no-daemon --no-hosts --no-resolv --bind-interfaces --interface=br0 --except-interface=lo --user=root --pid-file= {NAMES} {extra}")


def look_up(name="www.shop.com"):
    inside(PC, f"dig +tries=1 +time=2 @192.168.60.1 {name} A")


# --- scans ---

SCAN = "nmap -n -Pn --disable-arp-ping --send-ip -T4 --max-retries 0 --host-timeout 50s"


@case(snap=96, near={"horizontal_port_scan": "many ports, but of one address"})
def nmap_ports():
    """nmap tries the first 200 ports of one host (SYN scan)"""
    inside(PC, f"{SCAN} -sS -r -p 1-200 128.66.1.1")


@case(snap=96)
def nmap_ports_udp():
    """nmap tries 60 UDP ports of a host that does not answer"""
    inside(PC, f"{SCAN} -sU -r -p 2000-2059 --min-rate 100 128.67.1.1")


@case(snap=96, near={"vertical_port_scan": "nine ports, ten are needed", "horizontal_port_scan": "nine addresses, ten are needed"})
def nmap_few():
    """nmap tries nine ports of one host and one port of nine hosts"""
    inside(PC, f"{SCAN} -sS -p 21,22,23,25,80,110,143,443,445 128.66.1.1")
    inside(PC, f"{SCAN} -sS -p 8080 128.67.1.1-9")


@case(snap=96, near={"vertical_port_scan": "many addresses, but one port of each"})
def masscan_445():
    """masscan looks for file servers: port 445 of 256 addresses"""
    inside(PC, "masscan --rate 500 --wait 2 -e eth0 --router-mac 02-60-00-00-00-01 -p445 128.67.5.0/24")


@case(snap=96)
def ping_sweep():
    """fping asks 60 hosts whether they are there"""
    inside(PC, "fping -q -r 0 -t 200 -i 5 -g 128.66.9.1 128.66.9.60")


@case(snap=96)
def ping_timestamp():
    """nmap asks 40 hosts for their time by ICMP"""
    inside(PC, "nmap -n -sn -PP --disable-arp-ping --send-ip -T4 --max-retries 0 128.66.9.1-40")


@case(snap=96)
def ping_mask():
    """nmap asks 40 hosts for their address mask by ICMP"""
    inside(PC, "nmap -n -sn -PM --disable-arp-ping --send-ip -T4 --max-retries 0 128.66.9.1-40")


@case(snap=96, near={"icmp_address_scan": "four hosts, five are needed, however often", "icmp_timestamp_scan": "four hosts", "icmp_address_mask_scan": "four hosts"})
def ping_few():
    """Four hosts are pinged 20 times each, and asked for time and mask"""
    for n in range(1, 5):
        inside(PC, f"ping -q -c 20 -i 0.05 128.66.9.{n}")
    inside(PC, "nmap -n -sn -PP --disable-arp-ping --send-ip 128.66.9.1-4"), inside(PC, "nmap -n -sn -PM --disable-arp-ping --send-ip 128.66.9.1-4")


@case(snap=96)
def nmap_arp():
    """nmap asks for 100 addresses of the home network by ARP"""
    inside(PC, "nmap -n -sn -PR -T4 --max-retries 0 192.168.60.100-199")


@case(snap=96, at=TV)
def arpspoof():
    """arpspoof tells the television that the computer is the router, and the router that it is the television

    The answers that nobody asked for go to one host each, so that no third one sees them. The television watches a film over it."""
    names()
    serve(f"python3 -m http.server 80 --bind {OUT} --directory {W}")
    fetch = f"curl -s -m 5 -o /dev/null http://{OUT}/index.html"
    inside(TV, fetch)
    inside(GW, "ping -q -c 2 192.168.60.20"), inside(TV, "ping -q -c 1 192.168.60.10")
    serve("arpspoof -i eth0 -t 192.168.60.20 192.168.60.1", PC)
    serve("arpspoof -i eth0 -t 192.168.60.1 192.168.60.20", PC)
    for _ in range(4):
        time.sleep(2.5)
        inside(TV, fetch)


@case(snap=96, at=TV, near={"mitm_arp_attack": "another device takes the router's address over and announces it, once and for good",
                            "unsolicited_arp": "it announces itself with requests, as RFC 5227 has it"})
def router_replaced():
    """The router is replaced by another one with the same address

    Each new owner of an address announces it; a spare router does the same when it takes over."""
    inside(TV, "ping -q -c 3 192.168.60.1")
    sh(f"ip -n {GW} link set br0 address 02:60:00:00:00:99")
    inside(GW, "arping -q -c 3 -U -i br0 -S 192.168.60.1 192.168.60.1")
    inside(TV, "ping -q -c 3 192.168.60.1")
    time.sleep(2)
    inside(TV, "ping -q -c 3 192.168.60.1")
    sh(f"ip -n {GW} link set br0 address 02:60:00:00:00:01")


# --- log-ins ---

def words(count):
    with open(W + "/words", "w") as f:
        f.writelines(f"secret{n}\n" for n in range(count))
    return W + "/words"


def ssh_server():
    for key in ("host", "user"):
        if not os.path.exists(f"{W}/{key}"):
            sh(f"ssh-keygen -q -t ed25519 -N '' -C {key} -f {W}/{key}")
    sh(f"cp {W}/user.pub {W}/authorized; chmod 600 {W}/authorized; chmod 755 {W}; mkdir -p /run/sshd")
    serve(f"/usr/sbin/sshd -D -f /dev/null -o ListenAddress={OUT} -o HostKey={W}/host -o PidFile={W}/sshd.pid -o AuthorizedKeysFile={W}/authorized -o StrictModes=no "
          "-o PasswordAuthentication=yes -o KbdInteractiveAuthentication=no -o UsePAM=no -o PermitRootLogin=yes -o MaxAuthTries=6 -o DebianBanner=no "
          "-o MaxStartups=100:30:100", wait=1)


SSH = "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -F none"


@case(near={"ssh_successful": "40 log-ins, all refused"})
def hydra_ssh():
    """hydra guesses 40 passwords of an SSH server"""
    look_up(), ssh_server()
    inside(PC, f"hydra -q -I -t 4 -l root -P {words(40)} ssh://{OUT}")


@case(info=["ssh_successful"], near={"password_guessing": "three log-ins refused, nine are needed"})
def ssh_log_in():
    """A log-in with a key that the SSH server takes, and three with one that it does not"""
    look_up(), ssh_server()
    inside(PC, f"{SSH} -i {W}/user -o IdentitiesOnly=yes root@{OUT} 'head -c 3000 /dev/zero' >/dev/null")
    for _ in range(3):
        inside(PC, f"{SSH} -o BatchMode=yes -o IdentitiesOnly=yes -i {W}/host root@{OUT} true")


@case()
def hydra_ftp():
    """hydra guesses 12 passwords of an FTP server"""
    with open(W + "/ftp.conf", "w") as f:
        f.write(f"listen=YES\nlisten_address={OUT}\nanonymous_enable=NO\nlocal_enable=YES\nbackground=NO\nseccomp_sandbox=NO\ndelay_failed_login=0\nmax_login_fails=6\nsecure_chroot_dir={W}\nxferlog_enable=NO\n")
    look_up(), serve(f"vsftpd {W}/ftp.conf", wait=1)
    inside(PC, f"hydra -q -I -t 4 -l anna -P {words(12)} ftp://{OUT}")


WEB = '''import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401); self.send_header("WWW-Authenticate", 'Basic realm="x"'); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((sys.argv[1], 80), Page).serve_forever()
'''
MAIL = '''import socketserver, sys
class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda t: self.wfile.write(t.encode() + b"\\r\\n")
        say("220 mail.shop.com ESMTP")
        for line in self.rfile:
            word = line.split()[0].upper() if line.split() else b""
            if word == b"EHLO": say("250-mail.shop.com\\r\\n250 AUTH PLAIN LOGIN")
            elif word == b"AUTH":
                if len(line.split()) == 2:
                    say("334 VXNlcm5hbWU6"); self.rfile.readline(); say("334 UGFzc3dvcmQ6"); self.rfile.readline()
                say("535 5.7.8 Error: authentication failed")
            elif word == b"QUIT": say("221 bye"); return
            else: say("250 ok")
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer((sys.argv[1], 25), Mail).serve_forever()
'''
TELNET = '''import socketserver, sys, time
class Login(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"\\xff\\xfb\\x01\\xff\\xfb\\x03camera login: ")
        for n in range(3):
            user = self.rfile.readline()
            if not user: return
            self.wfile.write(user + b"Password: ")
            word = self.rfile.readline()
            if word.strip().endswith(b"right"):
                self.wfile.write(b"\\r\\nWelcome to camera\\r\\n# "); self.rfile.readline(); return
            self.wfile.write(b"\\r\\nLogin incorrect\\r\\ncamera login: ")
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer((sys.argv[1], 23), Login).serve_forever()
'''


def program(text, *args):
    path = running_program(text)
    with open(path, "w") as f:
        f.write(text)
    return serve(f"python3 {path} {' '.join(args)}", wait=1)


def running_program(text):
    return f"{W}/program{abs(hash(text)) % 1000}.py"


@case()
def hydra_web():
    """hydra guesses 20 passwords of a web page (HTTP basic)"""
    look_up(), program(WEB, OUT)
    inside(PC, f"hydra -q -I -t 2 -l anna -P {words(20)} http-get://{OUT}/")


@case(near={"password_guessing": "asked for a password by a web page, it gives none; and twice a wrong one"})
def web_password_mistyped():
    """Somebody mistypes a web page's password twice"""
    look_up(), program(WEB, OUT)
    for n in range(12):
        inside(PC, f"curl -s -o /dev/null {'-u anna:secret' if n < 2 else ''} http://{OUT}/")


@case()
def hydra_mail():
    """hydra guesses 20 passwords of a mail server"""
    look_up(), program(MAIL, OUT)
    inside(PC, f"hydra -q -I -t 2 -l anna -P {words(20)} smtp://{OUT}")


@case(near={"password_guessing": "one refusal", "smtp_login_bruteforce": "one refusal"})
def swaks_refused():
    """swaks is refused once by a mail server"""
    look_up(), program(MAIL, OUT)
    inside(PC, f"swaks --server {OUT} --from anna@shop.com --to bert@shop.com --auth LOGIN --auth-user anna --auth-password wrong")


@case(info=["login"])
def telnet_log_in():
    """A log-in to a camera over telnet"""
    look_up(), program(TELNET, OUT)
    inside(PC, f"sh -c '(sleep 0.5; echo root; sleep 0.5; echo right; sleep 0.5; echo exit; sleep 0.5) | nc {OUT} 23'")


@case(near={"login": "text on the telnet port, but no log-in is asked for"})
def telnet_weather():
    """A weather service on the telnet port"""
    look_up(), serve(f"sh -c 'while :; do echo sunny, 21 degrees | nc -N -l {OUT} 23; done'")
    for _ in range(3):
        inside(PC, f"nc -w 2 {OUT} 23"), time.sleep(0.3)


# --- names ---

@case(snap=400)
def iodine():
    """A DNS tunnel by iodine carries pings and a page"""
    sh("mkdir -p /dev/net; [ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200")
    serve(f"iodined -f -c -P word -l {OUT} 172.31.9.1 t.evil-place.com", wait=1.5)
    serve(f"iodine -f -r -P word -T TXT -m 200 {OUT} t.evil-place.com", PC, wait=6)
    inside(PC, "ping -q -c 30 -i 0.1 -s 120 172.31.9.1")


@case()
def dns2tcp():
    """A DNS tunnel by dns2tcp carries an SSH banner and some text"""
    with open(W + "/dns2tcpd", "w") as f:
        f.write(f"listen = {OUT}\nport = 53\nuser = root\nchroot = /tmp\ndomain = d.evil-place.com\nkey = word\nresources = shell:128.66.7.8:2222\n")
    serve(f"dns2tcpd -F -d 1 -f {W}/dns2tcpd", wait=1)
    serve("sh -c 'head -c 3000 /dev/urandom | base64 | nc -N -l 128.66.7.8 2222'")
    serve(f"dns2tcpc -z d.evil-place.com -k word -r shell -l 2200 {OUT}", PC, wait=1.5)
    inside(PC, "timeout 12 nc 127.0.0.1 2200", limit=15)


@case(snap=400)
def nmap_names():
    """nmap asks for the names of a whole network (list scan)"""
    names()
    inside(PC, "nmap -sL --dns-servers 192.168.60.1 192.168.60.0/26")


@case(snap=500, near={"dhcp_scan": "one device asks for one address again and again", "device_changing_ip": "it has not got one before"})
def dhcp_client():
    """busybox' DHCP client gets the same address four times"""
    names("--dhcp-range=192.168.60.100,192.168.60.110,1h --dhcp-option=option:router,192.168.60.1 --dhcp-leasefile=/dev/null")
    for _ in range(4):
        inside(PC, "busybox udhcpc -i eth0 -n -q -t 3 -x hostname:livingroom-tv -s /bin/true")


# --- odd connections ---

@case(snap=96)
def hping_port_zero():
    """hping3 sends SYNs to port 0"""
    inside(PC, f"hping3 -q -c 5 -i u100000 -S -p 0 {OUT}")


@case()
def nc_443():
    """netcat as a shell on port 443"""
    names(), look_up()
    serve(f"sh -c '(sleep 1; echo whoami; sleep 1; echo id; sleep 1) | nc -l {OUT} 443'")
    inside(PC, f"sh -c '(sleep 1.5; echo root; sleep 1) | nc {OUT} 443'")


@case()
def openssl_self_signed():
    """openssl's server with a certificate that vouches for itself (TLS 1.2)"""
    sh(f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {W}/key -out {W}/cert -days 3650 -subj '/CN=localhost' 2>&1")
    names(), look_up()
    serve(f"openssl s_server -accept {OUT}:443 -key {W}/key -cert {W}/cert -tls1_2 -www -quiet")
    inside(PC, "curl -s -k -m 5 -o /dev/null https://www.shop.com/")


@case(near={"tor_connection": "TLS with a name that was asked for before, by a program that says which protocols it speaks"})
def curl_pages():
    """curl reads pages over HTTP and TLS 1.3"""
    sh(f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {W}/key -out {W}/cert -days 3650 -subj '/CN=www.shop.com' 2>&1")
    names(), look_up()
    serve(f"python3 -m http.server 80 --bind {OUT} --directory {W}")
    serve(f"openssl s_server -accept {OUT}:443 -key {W}/key -cert {W}/cert -tls1_3 -www -quiet")
    for _ in range(3):
        inside(PC, "curl -s -k -m 5 -o /dev/null https://www.shop.com/"), inside(PC, "curl -s -m 5 -o /dev/null http://www.shop.com/index.html"), time.sleep(0.7)


@case(info=["tor_connection"])
def tor_bridge():
    """Tor's client connects to a bridge: its own relay, on port 9001"""
    with open(W + "/relay", "w") as f:
        f.write(f"DataDirectory {W}/relaydata\nORPort {OUT}:9001\nAddress {OUT}\nBridgeRelay 1\nPublishServerDescriptor 0\nAssumeReachable 1\nExitRelay 0\nSocksPort 0\nNickname labrelay\nLog notice stdout\nContactInfo nobody\n")
    with open(W + "/client", "w") as f:
        f.write(f"DataDirectory {W}/clientdata\nUseBridges 1\nBridge {OUT}:9001\nSocksPort 9050\nLog notice stdout\n")
    serve(f"tor -f {W}/relay", wait=6)
    serve(f"tor -f {W}/client", PC, wait=20)


# --- an hour ---

SITES = ["news", "weather", "shop", "forum", "video", "maps", "school", "bank"]
BESIDES = ["cdn.pictures.net", "fonts.letters.com", "s.counter.net", "api.login.com"]
PLACES = {name: f"128.66.{20 + n}.{n + 10}" for n, name in enumerate([f"www.{site}.com" for site in SITES] + BESIDES
          + ["sync.cloud.com", "detectportal.firefox.com", "mqtt.plug.com", "mail.shop.com", "film.video.com", "ntp.time.org"])}
SITE = '''import http.server, random, ssl, sys
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, body):
        self.send_response(200); self.send_header("Content-Type", "text/html"); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def do_GET(self): self.answer(b"x" * random.Random(self.path).randrange(300, 6000))
    def do_PUT(self): self.rfile.read(int(self.headers["Content-Length"])); self.answer(b"ok")
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Page)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(sys.argv[2], sys.argv[3]); server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
'''
TIME = '''import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 123))
while True:
    data, who = s.recvfrom(100); now = struct.pack("!II", int(time.time()) + 2208988800, 0)
    s.sendto(b"\\x24\\x02\\x00\\xe9" + bytes(8) + b"LOCL" + now + data[40:48] + now + now, who)
'''
# What nobody types: a television that asks the time, looks for others and streams; no client for them is to be had as a package.
CLOCKWORK = '''import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("192.168.60.10"))
name = b"\\x0b_googlecast\\x04_tcp\\x05local\\x00\\x00\\x0c\\x00\\x01"
for n in range(1000):
    s.sendto(b"\\x23" + bytes(47), ("ntp.time.org", 123))
    s.sendto(b"\\x00" * 4 + b"\\x00\\x01" + b"\\x00" * 6 + name, ("224.0.0.251", 5353))
    s.sendto(b"M-SEARCH * HTTP/1.1\\r\\nHOST: 239.255.255.250:1900\\r\\nMAN: \\"ssdp:discover\\"\\r\\nMX: 3\\r\\nST: ssdp:all\\r\\n\\r\\n", ("239.255.255.250", 1900))
    time.sleep(5)
'''


def authority():
    """A certificate for all names above, signed by an authority of its own."""
    every = ",".join("DNS:" + name for name in PLACES)
    sh(f"cd {W}; openssl ecparam -genkey -name prime256v1 -out ca.key; openssl req -x509 -new -key ca.key -out ca.crt -days 3650 -subj '/O=Test Trust/CN=Test CA' 2>&1; "
       f"openssl ecparam -genkey -name prime256v1 -out site.key; openssl req -new -key site.key -subj /CN=www.news.com -out site.csr 2>&1; echo subjectAltName={every} >site.ext; "
       "openssl x509 -req -in site.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile site.ext -out site.crt 2>&1")


@case(snap=600, hour=True)
def hour_recorded(r=random.Random(7)):
    """Two minutes of ordinary programs, stretched to an hour: a person at a computer

    curl as browser (HTTP, TLS 1.2 and 1.3, several sites with what they load besides), checks for being online, pictures put into a cloud, pieces of a film,
    a package fetched with wget, mail sent with swaks, mosquitto's client that stays connected, dig, ping, a lease from dnsmasq by busybox, SSH with a key;
    time, mDNS and SSDP are asked for by a script. All servers are local. Pauses longer than 0.15 s are stretched by one factor, so that two minutes are an hour; what
    happens within a page keeps its time."""
    authority(), ssh_server(), program(MAIL, PLACES["mail.shop.com"]), program(TIME, PLACES["ntp.time.org"])
    names(" ".join(f"--address=/{name}/{place}" for name, place in PLACES.items()) + " --dhcp-range=192.168.60.5,192.168.60.20,1h --dhcp-host=02:60:00:00:00:0a,192.168.60.10 --dhcp-leasefile=/dev/null")
    program(SITE, "80"), serve(f"python3 {running_program(SITE)} 443 {W}/site.crt {W}/site.key", wait=1)
    with open(W + "/broker", "w") as f:
        f.write(f"listener 1883 {PLACES['mqtt.plug.com']}\nallow_anonymous true\nuser root\n")
    serve(f"mosquitto -c {W}/broker")
    inside(PC, "busybox udhcpc -i eth0 -n -q -t 3 -r 192.168.60.10 -s /bin/true")
    serve("mosquitto_sub -h mqtt.plug.com -k 5 -t plug", PC, wait=0.2)
    with open(W + "/clockwork.py", "w") as f:
        f.write(CLOCKWORK)
    serve(f"python3 {W}/clockwork.py", PC, wait=0.2)
    browser = "'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'"
    fetch = lambda urls, more="": inside(PC, f"curl -s -Z -m 8 --cacert {W}/ca.crt -A {browser} {more} " + " ".join(f"-o /dev/null {url}" for url in urls))
    sh(f"head -c 40000 /dev/zero >{W}/picture")
    for visit in range(34):
        site = "www." + r.choice(SITES) + ".com"
        others = [f"https://{name}/{r.randrange(99)}" for name in r.sample(BESIDES, 2)]
        fetch([f"{'http' if site == 'www.weather.com' else 'https'}://{site}/{r.randrange(99)}", *others], r.choice(["", "--tls-max 1.2"]))
        time.sleep(r.choice([0.3, 0.8, 1.5, 3, 6]))
        if visit % 6 == 1:
            inside(PC, "curl -s -o /dev/null http://detectportal.firefox.com/success.txt")
        if visit in (4, 5, 6):
            fetch(["https://sync.cloud.com/picture"], f"-T {W}/picture")
        if visit in range(10, 22):
            fetch([f"https://film.video.com/piece{visit}"])
        if visit == 12:
            inside(PC, f"swaks --server mail.shop.com --from anna@shop.com --to bert@shop.com --header 'Subject: hello'")
        if visit == 15:
            inside(PC, f"{SSH} -i {W}/user -o IdentitiesOnly=yes root@{OUT} uptime")
        if visit == 18:
            inside(PC, f"wget -q --ca-certificate={W}/ca.crt -O /dev/null https://cdn.pictures.net/package.deb")
        if visit == 20:
            inside(PC, "ping -q -c 4 -i 0.3 www.news.com"), inside(PC, "dig +tries=1 +time=2 shop.com MX"), inside(PC, "dig +tries=1 +time=2 www.nwes.com A")


if __name__ == "__main__":
    wanted = sys.argv[1:]
    plays = [entry for entry in REGISTRY if not wanted or entry[0] in wanted]
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin")})
    if plays and missing:
        raise SystemExit(f"lab.py: apt-get install {' '.join(missing)}")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if plays:
        try:
            build()
            for entry in plays:
                record(*entry)
        finally:
            stop() if os.environ.get("SLIPS_LAB") == "keep" else remove()
