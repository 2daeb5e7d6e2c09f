"""Cases of private things in clear. They need a slips that is built with the feature leaks."""
from case import case
from net import PC, TV
from web import OUT, SITE, look_up

PHONE_APP = "WeatherApp/3.2 (Android 14)"
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"


@case(info=["http_traffic"])
def leak_position(c):
    """A weather program sends where the telephone is, in a request that crosses two packets"""
    look_up(c)
    ask = f"GET /v2/forecast?units=metric&lang=en&lat=48.2082&lon=16.3738 HTTP/1.1\r\nHost: {SITE}\r\nUser-Agent: {PHONE_APP}\r\n\r\n".encode()
    cut = ask.index(b"lat=48") + 6
    c.session(1, PC, OUT, 80, [(">", ask[:cut]), (">", ask[cut:]), ("<", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")])


@case(near={"network_gps_location_leaked": "coarse (one decimal), a latitude without longitude, a flat and a plateau, and an answer of a server",
            "network_data_leaked": "no rule of the user's"})
def leak_position_not(c):
    """Numbers that look like positions and are none, or come from outside"""
    look_up(c)
    for n, path in enumerate(("/t?lat=48.2&lon=16.4", "/t?lat=48.2082", "/t?flat=48.2082&plateaulon=16.3738", "/t?version=48.2082,16.3738")):
        c.http(1 + n, PC, OUT, SITE, path, agent=PHONE_APP)
    c.http(9, PC, OUT, SITE, "/where", reply=b'{"lat":48.2082,"lon":16.3738}', mime="application/json", agent=PHONE_APP)


@case()
def leak_position_at_home(c):
    """A camera at home tells the internet where it is"""
    c.http(1, OUT, TV, TV, "/status", reply=b'{"name":"cam","gps":{"lat":48.2082,"lng":16.3738}}', mime="application/json", port=8080)


@case()
def leak_credentials(c):
    """Passwords by HTTP Basic, a form, FTP, IMAP and SMTP, each to another server"""
    look_up(c)
    c.http(1, PC, OUT, SITE, "/", headers="Authorization: Basic Ym9iOmh1bnRlcjI=\r\n")
    c.http(2, PC, "128.66.7.8", SITE, "/login", method="POST", headers=FORM, body=b"name=bob&password=hunter2&go=1")
    c.session(3, PC, "128.66.7.9", 21, [("<", b"220 ready\r\n"), (">", b"USER bob\r\n"), ("<", b"331 password\r\n"), (">", b"PASS hunter2\r\n"), ("<", b"230 in\r\n"), (">", b"QUIT\r\n")])
    c.session(4, PC, "128.66.7.10", 143, [("<", b"* OK ready\r\n"), (">", b"a1 LOGIN bob hunter2\r\n"), ("<", b"a1 OK\r\n"), (">", b"a2 LOGOUT\r\n")])
    c.session(5, PC, "128.66.7.11", 587, [("<", b"220 mx\r\n"), (">", b"EHLO pc\r\n"), ("<", b"250-mx\r\n250 AUTH PLAIN\r\n"), (">", b"AUTH PLAIN AGJvYgBodW50ZXIy\r\n"), ("<", b"235 2.7.0 ok\r\n"), (">", b"QUIT\r\n")])


@case(near={"network_credentials_leaked": "anonymous FTP, an empty HTTP Basic, placeholders, a password over TLS, a page about passwords"})
def leak_credentials_not(c):
    """Log-ins that give nothing away"""
    look_up(c)
    c.http(1, PC, OUT, SITE, "/", headers="Authorization: Basic Ym9iOg==\r\n")
    c.http(2, PC, OUT, SITE, "/login", method="POST", headers=FORM, body=b"name=bob&password=&pwd=********&bypass=lane1")
    c.session(3, PC, OUT, 21, [("<", b"220 ready\r\n"), (">", b"USER anonymous\r\n"), ("<", b"331 mail\r\n"), (">", b"PASS guest@\r\n"), ("<", b"230 in\r\n"), (">", b"QUIT\r\n")])
    c.https(4, PC, OUT, SITE)
    c.http(5, PC, OUT, SITE, "/", reply=b"<form>password=hunter2 is not a good one</form>")


@case()
def leak_card(c):
    """A shop's form sends the number of a card in clear"""
    look_up(c)
    c.http(1, PC, OUT, SITE, "/pay", method="POST", headers=FORM, body=b"name=B&card_number=4111+1111+1111+1111&exp=1229")


@case(near={"network_card_number_leaked": "wrong check digit, all digits alike, an order number, too short"})
def leak_card_not(c):
    """Numbers that are none of a card"""
    look_up(c)
    for n, body in enumerate((b"card_number=4111111111111112", b"card_number=4444444444444444", b"order=4111111111111111", b"card=411111111111")):
        c.http(1 + n, PC, OUT, SITE, "/pay", method="POST", headers=FORM, body=body)


@case()
def leak_contact(c):
    """A program registers with e-mail address and phone number in clear"""
    look_up(c)
    c.http(1, PC, OUT, SITE, "/signup", method="POST", headers="Content-Type: application/json\r\n", body=b'{"email": "bob@mail.example", "phone": "+431234567890"}')


@case(near={"network_email_address_leaked": "a letter in a mail session, and an address without a field", "network_phone_number_leaked": "no international form"})
def leak_contact_not(c):
    """A letter is sent, and texts with something like addresses and numbers"""
    look_up(c)
    c.session(1, PC, OUT, 25, [("<", b"220 mx\r\n"), (">", b"EHLO pc\r\n"), ("<", b"250 mx\r\n"), (">", b"MAIL FROM:<bob@mail.example>\r\n"), ("<", b"250 ok\r\n"), (">", b"QUIT\r\n")])
    c.http(2, PC, OUT, SITE, "/a?style=icons@2x.png&phone=12345&emailed=yes")


@case()
def leak_token(c):
    """Keys and tokens in clear: an API key, a bearer token, a JWT, a private key"""
    look_up(c)
    c.http(1, PC, OUT, SITE, "/q?api_key=0f8fad5bd9cb469fa165")
    c.http(2, PC, "128.66.7.8", SITE, "/", headers="Authorization: Bearer 3q2fKx9VhYpL0aBcDeFg\r\n")
    c.http(3, PC, "128.66.7.9", SITE, "/", headers="Cookie: s=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib2IifQ.c2lnbmF0dXJl0123\r\n")
    c.http(4, PC, "128.66.7.10", SITE, "/k", method="POST", body=b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXkt\n")


@case(near={"network_token_leaked": "short, a placeholder, a public key, a certificate"})
def leak_token_not(c):
    """What looks like keys and opens nothing"""
    look_up(c)
    c.http(1, PC, OUT, SITE, "/q?api_key=abc&access_token=undefined&tokens=0f8fad5bd9cb469fa165")
    c.http(2, PC, OUT, SITE, "/k", method="POST", body=b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZI\n-----BEGIN CERTIFICATE-----\nMIIB\n")


@case()
def leak_imei(c):
    """A program tells the telephone's number (IMEI) in clear"""
    look_up(c)
    c.http(1, PC, OUT, SITE, "/ad?os=android&imei=490154203237518&v=2", agent=PHONE_APP)


@case(near={"network_imei_leaked": "wrong check digit, 16 digits"})
def leak_imei_not(c):
    """Numbers that are none of a telephone"""
    look_up(c)
    c.http(1, PC, OUT, SITE, "/ad?imei=490154203237519&device_id=4901542032375180", agent=PHONE_APP)


@case(conf="[leakdetector]\nyara_rules_folder = lists",
      lists={"own.yar": 'rule badge\n{\n    meta:\n        says = "the number of a badge"\n    strings:\n        $a = /BADGE-[0-9]{6}/\n    condition:\n        $a\n}'})
def leak_own_rule(c):
    """A rule of the user's own: the number of a badge"""
    look_up(c)
    c.http(1, PC, OUT, SITE, "/door?id=BADGE-004711")
