#!/bin/sh
# Run by the feed's CI inside an image: the program starts, says its version, and takes the shipped configuration.
case "$1" in
slips-agent)
	slips-agent --version | grep -F "slips-agent $2" || exit 1
	slips-agent -i lo --check | grep -F "ready: lo" || exit 1
	slips-agent -i lo --explain | grep -F "What leaves this house" || exit 1
	;;
esac
