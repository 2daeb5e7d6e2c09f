// What names a phone for ever: 15 digits with a check digit (Luhn, 3GPP TS 23.003).

rule imei
{
    meta:
        kind = "imei"
        says = "the number of a phone (IMEI)"
        check = "imei"
    strings:
        $field = /[^a-z](imei|imei1|device_imei|deviceid|device_id)["']?[=:] ?["']?[0-9]{15}([^0-9]|$)/ nocase
    condition:
        $field
}
