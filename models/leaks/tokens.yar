// What opens a door by itself: keys and tokens, in the forms that their issuers publish.

rule private_key
{
    meta:
        kind = "token"
        says = "a private key"
    strings:
        $begin = /-----BEGIN (RSA |EC |DSA |OPENSSH |ENCRYPTED )?PRIVATE KEY-----/
    condition:
        $begin
}

rule service_token
{
    meta:
        kind = "token"
        says = "an access token of a well-known service"
    strings:
        $aws = /AKIA[0-9A-Z]{16}/
        $github = /gh[pousr]_[A-Za-z0-9]{36}/
        $slack = /xox[abprs]-[0-9A-Za-z-]{20,80}/
        $google = /AIza[0-9A-Za-z_-]{35}/
        $stripe = /sk_live_[0-9A-Za-z]{24,99}/
    condition:
        any of them
}

rule json_web_token
{
    meta:
        kind = "token"
        says = "a session token (JWT)"
    strings:
        $jwt = /eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{10,}/
    condition:
        $jwt
}

rule bearer_or_key
{
    meta:
        kind = "token"
        says = "an access token"
        check = "word"
    strings:
        $bearer = /authorization: bearer [a-z0-9._~+\/-]{16,2000}/ nocase
        $key = /[^a-z](api|access|secret|auth)[_-]?(key|token)["']?[=:] ?["']?[a-z0-9._~+\/-]{16,200}/ nocase
    condition:
        any of them
}
