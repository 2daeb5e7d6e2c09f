// Numbers of payment cards: 13 to 19 digits that begin as those of the large issuers, given as a card's number; the check digit is right (Luhn, ISO/IEC 7812).

rule card_number
{
    meta:
        kind = "card"
        says = "the number of a payment card"
        check = "luhn"
    strings:
        $number = /[^a-z](card|cardnumber|card_number|card-number|cardno|card_no|creditcard|credit_card|ccnum|ccnumber|cc_number|cc-number|pan)["']?[=:] ?["']?[3-6][0-9]{3}[ +-]?[0-9]{4}[ +-]?[0-9]{4,6}[ +-]?[0-9]{1,7}/ nocase
    condition:
        $number
}
