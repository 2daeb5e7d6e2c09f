// Passwords in clear, with or without their names.

rule http_basic
{
    meta:
        kind = "credentials"
        says = "a user name with password (HTTP Basic)"
        check = "basic"
    strings:
        $header = /authorization: basic [a-z0-9+\/]{4,200}={0,2}/ nocase
    condition:
        $header
}

rule password_field
{
    meta:
        kind = "credentials"
        says = "a password"
        check = "word"
    strings:
        $field = /[^a-z](password|passwd|passwort|pwd|pass)["']?[=:] ?["']?[^&"' \r\n<>]{4,64}/ nocase
    condition:
        $field
}

rule ftp_pop3_login
{
    meta:
        kind = "credentials"
        says = "a user name with password (FTP or POP3)"
    strings:
        $user = /USER [^\r\n]{1,64}\r?\n/
        $pass = /PASS [^\r\n]{1,64}\r?\n/
        $open = /USER (anonymous|ftp)\r?\n/ nocase
    condition:
        $user and $pass and not $open
}

rule imap_login
{
    meta:
        kind = "credentials"
        says = "a user name with password (IMAP)"
    strings:
        $login = / LOGIN "?[^\r\n "]{1,64}"? "?[^\r\n "]{1,64}"?\r?\n/ nocase
    condition:
        $login
}

rule smtp_auth_plain
{
    meta:
        kind = "credentials"
        says = "a user name with password (SMTP)"
    strings:
        $auth = /AUTH PLAIN [A-Za-z0-9+\/]{8,200}={0,2}\r?\n/ nocase
    condition:
        $auth
}
