// Package examples has the programs of the README, word for word.
package examples
