// How a person is reached. Mail programs send addresses because that is their work: not on their ports.

rule email_address
{
    meta:
        kind = "email"
        says = "an e-mail address"
        not_in_mail = true
    strings:
        $field = /[^a-z](e-?mail|mail|user|username|login|account)["']?[=:] ?["']?[a-z0-9._%+-]{1,64}(@|%40)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){0,3}\.[a-z]{2,24}/ nocase
    condition:
        $field
}

rule phone_number
{
    meta:
        kind = "phone"
        says = "a phone number"
    strings:
        $field = /[^a-z](phone|phonenumber|phone_number|mobile|msisdn|tel|telephone)["']?[=:] ?["']?(\+|%2b|00)[1-9][0-9 ()-]{7,16}/ nocase
    condition:
        $field
}
