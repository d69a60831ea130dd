//go:build race

package psi

const raceDetector = true
