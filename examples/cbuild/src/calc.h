int add(int left, int right);
int multiply(int left, int right);
