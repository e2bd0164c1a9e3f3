package main

import (
	"os"
	"slices"
	"strings"
)

func main() {
	isMQTT := func(argument string) bool { return strings.HasPrefix(argument, "mqtt:") }
	if slices.ContainsFunc(os.Args[1:], isMQTT) {
		runSuite(mqttCases)
		return
	}
	runSuite(amqpCases)
}
