#include "calc.h"

int multiply(int left, int right) { return left * right; }
