rule badge
{
    meta:
        says = "the number of a badge"
    strings:
        $a = /BADGE-[0-9]{6}/
    condition:
        $a
}
