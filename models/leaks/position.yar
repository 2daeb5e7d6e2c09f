// Where a device is: latitude and longitude, as parameters close to each other or as a pair.

rule position_parameters
{
    meta:
        kind = "position"
        says = "a position (latitude and longitude)"
    strings:
        $lat = /[^a-z]lat(itude)?["']?[=:] ?["']?-?[0-9]{1,2}\.[0-9]{2,15}/ nocase
        $lon = /[^a-z](lon|lng|long|longitude)["']?[=:] ?["']?-?[0-9]{1,3}\.[0-9]{2,15}/ nocase
    condition:
        for any i in (1..8) : ( $lon in (@lat[i]-300..@lat[i]+300) )
}

rule position_pair
{
    meta:
        kind = "position"
        says = "a position (latitude and longitude)"
    strings:
        $pair = /[^a-z](ll|latlng|latlon|location|coords|coordinates|position|geo|gps)["']?[=:] ?["'\[]?-?[0-9]{1,2}\.[0-9]{2,15}(,|%2c|, |;|%20)-?[0-9]{1,3}\.[0-9]{2,15}/ nocase
    condition:
        $pair
}
