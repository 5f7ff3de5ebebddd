#include <stdio.h>
#include <stdlib.h>

#include "calc.h"
#include "version.h"

int main(int count, char **words) {
  if (count != 4) {
    fprintf(stderr, "calc %s: calc LEFT +|x RIGHT\n", VERSION);
    return 2;
  }
  int left = atoi(words[1]), right = atoi(words[3]);
  printf("%d\n", words[2][0] == 'x' ? multiply(left, right) : add(left, right));
  return 0;
}
